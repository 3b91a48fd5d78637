// The playground's network, in float64 and without a page: 3×3 convolutions, each with a norm and a ReLU, and a linear
// layer, trained on the digits by stochastic gradient descent.  normbook/playground.py does the same with normcore;
// tests/book/test_playground.py compares them step by step.
//
// All numbers lie in Float64Arrays: a batch of n maps is (n, channels, 16), the last index a place of 4×4.
(() => {
  "use strict";

  const PLACES = 16;
  const CHANNELS = 8;
  const GROUPS = 2; // of group norm
  const CLASSES = 10;
  const FEATURES = CHANNELS * PLACES;
  const EPS = 1e-5;
  const EVERY = 10; // steps between two looks at new images

  // ---- chance, the same for the same seed

  /** Uniform numbers in [0, 1): the generator mulberry32. */
  const generator = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };

  /** So many normal numbers with this spread, by Box and Muller. */
  const normals = (random, count, spread) =>
    Float64Array.from(
      { length: count },
      () => spread * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
    );

  const shuffle = (items, random) => {
    for (let i = items.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [items[i], items[j]] = [items[j], items[i]];
    }
    return items;
  };

  /** deal(count): the next so many of the items, which are shuffled anew when there are not enough left. */
  const dealer = (items, random) => {
    let at = items.length;
    return (count) => {
      if (at + count > items.length) {
        shuffle(items, random);
        at = 0;
      }
      at += count;
      return items.slice(at - count, at);
    };
  };

  // ---- convolution: 3×3, zeros around the image

  /** For each place of the output: which inputs it sees, each through which of the nine weights. */
  const windows = (side, stride) =>
    Array.from({ length: PLACES }, (_, place) => {
      const seen = [];
      for (let tap = 0; tap < 9; tap++) {
        const row = stride * (place >> 2) + Math.floor(tap / 3) - 1;
        const column = stride * (place & 3) + (tap % 3) - 1;
        if (row >= 0 && row < side && column >= 0 && column < side) seen.push([tap, side * row + column]);
      }
      return { taps: Int32Array.from(seen, ([tap]) => tap), from: Int32Array.from(seen, ([, from]) => from) };
    });
  const FIRST = { channels: 1, size: 64, windows: windows(8, 2) };
  const LATER = { channels: CHANNELS, size: PLACES, windows: windows(4, 1) };

  /** Calls act(i, place, view) for each place of each image i; `view` holds the inputs that it sees, 0 beyond the edge. */
  const overViews = (x, { channels, size, windows }, act) => {
    const n = x.length / (channels * size);
    windows.forEach(({ taps, from }, place) => {
      const view = new Float64Array(9 * channels);
      for (let i = 0; i < n; i++) {
        for (let c = 0; c < channels; c++) {
          const start = (i * channels + c) * size;
          for (let t = 0; t < taps.length; t++) view[9 * c + taps[t]] = x[start + from[t]];
        }
        act(i, place, view);
      }
    });
  };

  /** Four channels of the output at a time: sums that do not wait for each other. */
  const convolve = (x, w, geometry) => {
    const fan = 9 * geometry.channels;
    const y = new Float64Array((x.length / (geometry.channels * geometry.size)) * FEATURES);
    overViews(x, geometry, (i, place, view) => {
      for (let o = 0; o < CHANNELS; o += 4) {
        const [w0, w1, w2, w3] = [o * fan, (o + 1) * fan, (o + 2) * fan, (o + 3) * fan];
        let [s0, s1, s2, s3] = [0, 0, 0, 0];
        for (let k = 0; k < fan; k++) {
          const value = view[k];
          s0 += w[w0 + k] * value;
          s1 += w[w1 + k] * value;
          s2 += w[w2 + k] * value;
          s3 += w[w3 + k] * value;
        }
        const out = (i * CHANNELS + o) * PLACES + place;
        y[out] = s0;
        y[out + PLACES] = s1;
        y[out + 2 * PLACES] = s2;
        y[out + 3 * PLACES] = s3;
      }
    });
    return y;
  };

  /** Gradients for the input and for the weights. */
  const convolveBackward = (dy, x, w, geometry) => {
    const { channels, size, windows } = geometry;
    const fan = 9 * channels;
    const dx = new Float64Array(x.length);
    const dw = new Float64Array(w.length);
    const dview = new Float64Array(fan);
    overViews(x, geometry, (i, place, view) => {
      dview.fill(0);
      for (let o = 0; o < CHANNELS; o += 2) {
        const [w0, w1] = [o * fan, (o + 1) * fan];
        const out = (i * CHANNELS + o) * PLACES + place;
        const [g0, g1] = [dy[out], dy[out + PLACES]];
        for (let k = 0; k < fan; k++) {
          dview[k] += w[w0 + k] * g0 + w[w1 + k] * g1;
          dw[w0 + k] += view[k] * g0;
          dw[w1 + k] += view[k] * g1;
        }
      }
      const { taps, from } = windows[place];
      for (let c = 0; c < channels; c++) {
        const start = (i * channels + c) * size;
        for (let t = 0; t < taps.length; t++) dx[start + from[t]] += dview[9 * c + taps[t]];
      }
    });
    return { dx, dw };
  };

  // ---- the norms: one formula; which numbers share a mean is all that differs

  /** Lists of [where 16 numbers begin, their channel]; each list has one mean and one variance. */
  const shares = (norm, n, normBatch) => {
    const row = (i, c) => [(i * CHANNELS + c) * PLACES, c];
    const lists = [];
    if (norm === "batch") {
      for (let first = 0; first < n; first += normBatch) {
        for (let c = 0; c < CHANNELS; c++) lists.push(Array.from({ length: normBatch }, (_, k) => row(first + k, c)));
      }
    } else {
      const size = norm === "instance" ? 1 : CHANNELS / GROUPS;
      for (let i = 0; i < n; i++) {
        for (let c = 0; c < CHANNELS; c += size) lists.push(Array.from({ length: size }, (_, k) => row(i, c + k)));
      }
    }
    return lists;
  };
  const known = new Map();
  const sharing = (norm, n, normBatch) => {
    const key = `${norm} ${n} ${normBatch}`;
    if (!known.has(key)) known.set(key, shares(norm, n, normBatch));
    return known.get(key);
  };

  const moments = (x, rows) => {
    const count = rows.length * PLACES;
    let sum = 0;
    for (const [start] of rows) for (let p = start; p < start + PLACES; p++) sum += x[p];
    const mean = sum / count;
    let squares = 0;
    for (const [start] of rows) for (let p = start; p < start + PLACES; p++) squares += (x[p] - mean) ** 2;
    return [mean, squares / count];
  };

  /** y = gamma (x - mean) / sqrt(var + eps) + beta, and what the backward pass wants to know. */
  const normalize = (x, gamma, beta, lists) => {
    const y = new Float64Array(x.length);
    const xhat = new Float64Array(x.length);
    const means = new Float64Array(lists.length);
    const variances = new Float64Array(lists.length);
    lists.forEach((rows, k) => {
      const [mean, variance] = moments(x, rows);
      const r = 1 / Math.sqrt(variance + EPS);
      means[k] = mean;
      variances[k] = variance;
      for (const [start, c] of rows) {
        for (let p = start; p < start + PLACES; p++) {
          xhat[p] = (x[p] - mean) * r;
          y[p] = gamma[c] * xhat[p] + beta[c];
        }
      }
    });
    return { y, xhat, means, variances };
  };

  /** dx = (g - <g> - xhat <g xhat>) / sqrt(var + eps) with g = gamma dy; <> averages what shares a mean. */
  const normalizeBackward = (dy, { xhat, variances }, gamma, lists) => {
    const dx = new Float64Array(dy.length);
    const dgamma = new Float64Array(CHANNELS);
    const dbeta = new Float64Array(CHANNELS);
    lists.forEach((rows, k) => {
      const count = rows.length * PLACES;
      let sum = 0;
      let along = 0;
      for (const [start, c] of rows) {
        for (let p = start; p < start + PLACES; p++) {
          dgamma[c] += dy[p] * xhat[p];
          dbeta[c] += dy[p];
          sum += gamma[c] * dy[p];
          along += gamma[c] * dy[p] * xhat[p];
        }
      }
      const r = 1 / Math.sqrt(variances[k] + EPS);
      for (const [start, c] of rows) {
        for (let p = start; p < start + PLACES; p++) {
          dx[p] = r * (gamma[c] * dy[p] - sum / count - (xhat[p] * along) / count);
        }
      }
    });
    return { dx, dgamma, dbeta };
  };

  /** Batch norm in eval mode: the same formula with the running statistics. */
  const normalizeWith = (x, mean, variance, gamma, beta) =>
    x.map((value, p) => {
      const c = Math.floor(p / PLACES) % CHANNELS;
      return (gamma[c] * (value - mean[c])) / Math.sqrt(variance[c] + EPS) + beta[c];
    });

  /** Each norm batch in turn moves the running statistics; the variance that is stored is the unbiased one. */
  const track = (layer, { means, variances }, normBatch, momentum) => {
    const count = normBatch * PLACES;
    means.forEach((mean, k) => {
      const c = k % CHANNELS;
      layer.mean[c] = (1 - momentum) * layer.mean[c] + momentum * mean;
      layer.variance[c] = (1 - momentum) * layer.variance[c] + momentum * ((variances[k] * count) / (count - 1));
    });
  };

  // ---- the network

  const filled = (count, value) => new Float64Array(count).fill(value);

  /** norm: "none", "batch", "instance" or "group"; without a norm there is a bias in its place. */
  const network = ({ norm, depth, gain, seed }) => {
    const random = generator(seed);
    const layers = Array.from({ length: depth }, (_, k) => {
      const geometry = k ? LATER : FIRST;
      const fan = 9 * geometry.channels;
      return {
        geometry,
        w: normals(random, CHANNELS * fan, gain / Math.sqrt(fan)),
        gamma: filled(CHANNELS, 1),
        beta: filled(CHANNELS, 0),
        mean: filled(CHANNELS, 0),
        variance: filled(CHANNELS, 1),
      };
    });
    const head = { w: normals(random, CLASSES * FEATURES, 1 / Math.sqrt(FEATURES)), b: filled(CLASSES, 0) };
    return { norm, layers, head };
  };

  /** What is trained, in a fixed order. */
  const parameters = ({ norm, layers, head }) => [
    ...layers.flatMap((layer) => (norm === "none" ? [layer.w, layer.beta] : [layer.w, layer.gamma, layer.beta])),
    head.w,
    head.b,
  ];

  const biased = (x, beta) => x.map((value, p) => value + beta[Math.floor(p / PLACES) % CHANNELS]);

  const summedBiases = (dy) => {
    const dbeta = new Float64Array(CHANNELS);
    dy.forEach((g, p) => (dbeta[Math.floor(p / PLACES) % CHANNELS] += g));
    return dbeta;
  };

  /** Scores (n, 10) of images (n, 64) in train mode or in eval mode, and what each layer keeps. */
  const forward = (net, images, normBatch, mode = "train") => {
    const n = images.length / 64;
    let x = images;
    const kept = net.layers.map((layer) => {
      const input = x;
      const z = convolve(input, layer.w, layer.geometry);
      let cache = null;
      let lists = null;
      let y;
      if (net.norm === "none") {
        y = biased(z, layer.beta);
      } else if (net.norm === "batch" && mode === "eval") {
        y = normalizeWith(z, layer.mean, layer.variance, layer.gamma, layer.beta);
      } else {
        lists = sharing(net.norm, n, normBatch);
        cache = normalize(z, layer.gamma, layer.beta, lists);
        y = cache.y;
      }
      x = y.map((value) => Math.max(value, 0));
      return { input, z, cache, lists, output: x };
    });
    const scores = new Float64Array(n * CLASSES);
    for (let i = 0; i < n; i++) {
      for (let o = 0; o < CLASSES; o++) {
        let sum = net.head.b[o];
        for (let f = 0; f < FEATURES; f++) sum += net.head.w[o * FEATURES + f] * x[i * FEATURES + f];
        scores[i * CLASSES + o] = sum;
      }
    }
    return { scores, kept };
  };

  /** Mean cross-entropy of the softmax, how many are right, and the gradient for the scores. */
  const judge = (scores, labels) => {
    const n = labels.length;
    const dscores = new Float64Array(scores.length);
    let loss = 0;
    let right = 0;
    for (let i = 0; i < n; i++) {
      const row = scores.subarray(i * CLASSES, (i + 1) * CLASSES);
      const top = Math.max(...row);
      const total = row.reduce((sum, score) => sum + Math.exp(score - top), 0);
      loss += Math.log(total) + top - row[labels[i]];
      right += row[labels[i]] === top;
      row.forEach((score, o) => {
        dscores[i * CLASSES + o] = (Math.exp(score - top) / total - (o === labels[i])) / n;
      });
    }
    return { loss: loss / n, right, dscores };
  };

  /** Gradients in the order of `parameters`. */
  const backward = (net, { kept }, dscores) => {
    const x = kept.at(-1).output;
    const n = x.length / FEATURES;
    let dy = new Float64Array(x.length);
    const dw = new Float64Array(net.head.w.length);
    const db = new Float64Array(CLASSES);
    for (let i = 0; i < n; i++) {
      for (let o = 0; o < CLASSES; o++) {
        const g = dscores[i * CLASSES + o];
        db[o] += g;
        for (let f = 0; f < FEATURES; f++) {
          dy[i * FEATURES + f] += net.head.w[o * FEATURES + f] * g;
          dw[o * FEATURES + f] += x[i * FEATURES + f] * g;
        }
      }
    }
    const gradients = [dw, db];
    for (let k = kept.length - 1; k >= 0; k--) {
      const { input, cache, lists, output } = kept[k];
      const layer = net.layers[k];
      dy = dy.map((g, p) => (output[p] > 0 ? g : 0));
      if (cache) {
        const { dx, dgamma, dbeta } = normalizeBackward(dy, cache, layer.gamma, lists);
        gradients.unshift(dgamma, dbeta);
        dy = dx;
      } else {
        gradients.unshift(summedBiases(dy));
      }
      const { dx, dw: dlayer } = convolveBackward(dy, input, layer.w, layer.geometry);
      gradients.unshift(dlayer);
      dy = dx;
    }
    return gradients;
  };

  // ---- training

  /** Images to train with and new ones from the text that a build writes: a letter a pixel, images by their digit. */
  const unpack = ({ train, fresh }) => {
    const parsed = (digits) => {
      const labels = Uint8Array.from(digits.flatMap((text, digit) => Array(text.length / 64).fill(digit)));
      const images = Float64Array.from(digits.join(""), (letter) => (letter.charCodeAt(0) - 97) / 16);
      return { images, labels };
    };
    return { train: parsed(train), fresh: parsed(fresh) };
  };

  const taken = ({ images, labels }, indices) => {
    const chosen = new Float64Array(indices.length * 64);
    indices.forEach((index, k) => chosen.set(images.subarray(index * 64, (index + 1) * 64), k * 64));
    return { images: chosen, labels: Uint8Array.from(indices, (index) => labels[index]) };
  };

  const range = (count) => Array.from({ length: count }, (_, index) => index);

  /** A run before its first step. settings: those of `network`, and batch, normBatch, sorted, rate, inertia, momentum. */
  const begin = (settings, data) => {
    const net = network(settings);
    const random = generator(settings.seed + 1);
    const { labels } = data.train;
    const all = range(labels.length);
    return {
      settings,
      data,
      net,
      step: 0,
      loss: NaN,
      velocities: parameters(net).map((p) => new Float64Array(p.length)),
      mixed: dealer([...all], random),
      ofDigit: range(CLASSES).map((digit) => dealer(all.filter((index) => labels[index] === digit), random)),
      random,
      looks: { train: null, eval: null },
      freshOrder: shuffle(range(data.fresh.labels.length), generator(0)),
    };
  };

  /** As many images as the gradient takes; with "sorted" each norm batch holds one digit. */
  const deal = ({ settings: { batch, sorted }, mixed, ofDigit, random }, normBatch) => {
    if (!sorted) return mixed(batch);
    return range(batch / normBatch).flatMap(() => ofDigit[Math.floor(random() * CLASSES)](normBatch));
  };

  const normBatchOf = ({ batch, normBatch }) => Math.min(batch, normBatch);

  /** One step of stochastic gradient descent; the run then knows its loss and its batches' means. */
  const advance = (run) => {
    const { settings, net } = run;
    const normBatch = normBatchOf(settings);
    const { images, labels } = taken(run.data.train, deal(run, normBatch));
    const passed = forward(net, images, normBatch);
    const { loss, dscores } = judge(passed.scores, labels);
    const gradients = backward(net, passed, dscores);
    if (net.norm === "batch") {
      passed.kept.forEach(({ cache }, k) => track(net.layers[k], cache, normBatch, settings.momentum));
    }
    parameters(net).forEach((parameter, k) => {
      const velocity = run.velocities[k];
      for (let p = 0; p < parameter.length; p++) {
        velocity[p] = settings.inertia * velocity[p] + gradients[k][p];
        parameter[p] -= settings.rate * velocity[p];
      }
    });
    run.step += 1;
    run.loss = loss;
    run.means = channelMeans(passed.kept.at(-1).z, normBatch);
  };

  /** What the last norm would subtract, were it batch norm: the mean of each channel in each norm batch. */
  const channelMeans = (z, normBatch) =>
    sharing("batch", z.length / FEATURES, normBatch).map((rows) => moments(z, rows)[0]);

  /** Loss and share of right answers on new images, in train mode and in eval mode, 32 images at a time. */
  function* look(run) {
    const { net, settings } = run;
    const { labels } = run.data.fresh;
    const order = settings.sorted ? range(labels.length) : run.freshOrder;
    const modes = net.norm === "batch" ? ["train", "eval"] : ["eval"]; // the others do the same in both
    const sums = modes.map(() => ({ loss: 0, right: 0 }));
    for (let first = 0; first < order.length; first += 32) {
      const { images, labels: wanted } = taken(run.data.fresh, order.slice(first, first + 32));
      for (const [k, mode] of modes.entries()) {
        const { scores } = forward(net, images, normBatchOf(settings), mode);
        const { loss, right } = judge(scores, wanted);
        sums[k].loss += loss * wanted.length;
        sums[k].right += right;
        yield;
      }
    }
    const found = sums.map(({ loss, right }) => ({ loss: loss / order.length, right: right / order.length }));
    run.looks = { step: run.step, train: found[0], eval: found.at(-1) };
  }

  /** All that a run does, cut into pieces of a few milliseconds: a step, or a part of a look. */
  function* work(run) {
    for (;;) {
      if (run.step % EVERY === 0) {
        yield* look(run);
        yield;
      }
      advance(run);
      yield;
    }
  }

  /** Length of all convolutions' weights, as one vector. */
  const weightNorm = ({ layers }) =>
    Math.sqrt(layers.reduce((sum, { w }) => sum + w.reduce((squares, value) => squares + value * value, 0), 0));

  globalThis.normcorePlayground = {
    CHANNELS,
    EVERY,
    generator,
    network,
    parameters,
    forward,
    judge,
    backward,
    unpack,
    begin,
    advance,
    look,
    work,
    weightNorm,
    normBatchOf,
  };
})();
