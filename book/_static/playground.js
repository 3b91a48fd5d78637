// The playground in a page: dials, curves and cards around the network of playground-core.js.
(() => {
  "use strict";

  const BUDGET = 6; // milliseconds of a frame that go into training, and one piece of work more
  const LONGEST = 2000; // steps
  const RATES = { slow: 6, normal: 60, fast: Infinity }; // steps a second
  const NAMES = { none: "No norm", batch: "Batch norm", instance: "Instance norm", group: "Group norm" };
  const FRESH = ["norm", "gain", "depth", "seed"]; // a new network begins when one of these changes
  const files = document.currentScript.dataset;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  // ---- numbers in words

  const percent = (share) => `${Math.round(100 * share)}%`;
  const short = (value) => {
    if (!Number.isFinite(value)) return "not a number";
    if (value !== 0 && (Math.abs(value) >= 1000 || Math.abs(value) < 0.001)) return value.toExponential(1);
    return value.toPrecision(2).includes("e") ? String(Math.round(value)) : String(Number(value.toPrecision(2)));
  };

  // ---- drawing

  const WIDE = 320;
  const HIGH = 170;
  const PLOT = { left: 40, right: 312, top: 8, bottom: 148 };
  const element = (parent, name, attributes = {}) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  };

  /** About `count` round numbers between two. */
  const ticks = (low, high, count = 4) => {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
    return found;
  };
  const decades = (low, high) => {
    const found = [];
    for (let k = Math.round(Math.log10(low)); k <= Math.round(Math.log10(high)); k++) found.push(10 ** k);
    return found;
  };

  /** A picture with axes: draw(steps, [low, high], {class of a line: points}), points as [x, y, x, y, ...]. */
  const panel = (holder, title, legend, { log = false, curves }) => {
    const figure = document.createElement("figure");
    figure.className = "nc-panel";
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    const keys = legend.map(([kind, text]) => {
      const key = document.createElement("span");
      key.className = `nc-key nc-key-${kind}`;
      key.textContent = text;
      caption.append(" ", key);
      return key;
    });
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", title);
    const grid = element(svg, "g", { class: "nc-grid" });
    const letters = element(svg, "g", { class: "nc-ticks" });
    const lines = Object.fromEntries(curves.map((kind) => [kind, element(svg, "path", { class: `nc-line-${kind}` })]));
    figure.append(caption, svg);
    holder.append(figure);

    let drawn = "";
    const scale = (low, high) => {
      const [a, b] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
      return (y) => {
        const at = ((log ? Math.log10(y) : y) - a) / (b - a);
        return PLOT.bottom - Math.min(1.02, Math.max(-0.02, at)) * (PLOT.bottom - PLOT.top);
      };
    };
    const axes = (steps, low, high) => {
      const key = [steps, low, high].join();
      if (key === drawn) return;
      drawn = key;
      grid.replaceChildren();
      letters.replaceChildren();
      const y = scale(low, high);
      for (const value of log ? decades(low, high) : ticks(low, high)) {
        element(grid, "path", { d: `M${PLOT.left} ${y(value).toFixed(1)}H${PLOT.right}` });
        const text = element(letters, "text", { x: PLOT.left - 5, y: y(value) + 4, "text-anchor": "end" });
        text.textContent = String(Number(value.toPrecision(3)));
      }
      for (const value of ticks(0, steps)) {
        const x = PLOT.left + (value / steps) * (PLOT.right - PLOT.left);
        const text = element(letters, "text", { x, y: PLOT.bottom + 16, "text-anchor": value === steps ? "end" : "middle" });
        text.textContent = value === steps ? `step ${value}` : String(value);
      }
    };
    const path = (points, steps, low, high, dots) => {
      const y = scale(low, high);
      let text = "";
      let pen = "M";
      for (let k = 0; k < points.length; k += 2) {
        if (Number.isNaN(points[k + 1])) {
          pen = "M";
          continue;
        }
        const x = PLOT.left + (points[k] / steps) * (PLOT.right - PLOT.left);
        text += `${pen}${x.toFixed(1)} ${y(points[k + 1]).toFixed(1)}${dots ? "h0" : ""}`;
        pen = dots ? "M" : "L";
      }
      return text;
    };
    return {
      draw: (steps, [low, high], points) => {
        axes(steps, low, high);
        for (const [kind, line] of Object.entries(lines)) {
          line.setAttribute("d", path(points[kind] ?? [], steps, low, high, kind === "dots"));
        }
      },
      say: (texts) => texts.forEach((text, k) => keys[k].textContent !== text && (keys[k].textContent = text)),
      describe: (text) => svg.setAttribute("aria-label", `${caption.firstChild.data} ${text}`),
      title: (text) => (caption.firstChild.data = text),
    };
  };

  /** At most 300 points of a list of values, the k-th at step k + first: averages of stretches. */
  const thinned = (values, first = 1) => {
    const stride = Math.ceil(values.length / 300);
    const points = [];
    for (let k = 0; k < values.length; k += stride) {
      let sum = 0;
      const end = Math.min(k + stride, values.length);
      for (let j = k; j < end; j++) sum += values[j];
      points.push((k + end - 1) / 2 + first, sum / (end - k));
    }
    return points;
  };

  const extent = (points, low = Infinity, high = -Infinity) => {
    for (let k = 1; k < points.length; k += 2) {
      if (Number.isFinite(points[k])) {
        low = Math.min(low, points[k]);
        high = Math.max(high, points[k]);
      }
    }
    return [low, high];
  };

  /** Round ends of an axis that hold all points. */
  const around = (points) => {
    const [low, high] = extent(points);
    if (low > high) return [0, 1];
    const room = Math.max(high - low, 1e-3 * Math.abs(high), 1e-9);
    const step = 10 ** Math.floor(Math.log10(room));
    return [Math.floor((low - 0.05 * room) / step) * step, Math.ceil((high + 0.05 * room) / step) * step];
  };
  const decadesAround = (points) => {
    const [low, high] = extent(points, 0.1, 5);
    const power = (value, round) => 10 ** Math.min(4, Math.max(-4, round(Math.log10(value))));
    return [power(low, Math.floor), power(high, Math.ceil)];
  };

  // ---- what a run leaves behind

  const chronicle = () => ({ losses: [], looks: [], means: [], running: [], weights: [] });

  const record = (past, run, core) => {
    past.losses.push(run.loss);
    past.means.push(run.means);
    past.running.push(run.net.norm === "batch" ? Float64Array.from(run.net.layers.at(-1).mean) : null);
    past.weights.push(core.weightNorm(run.net));
  };

  /** Both curves of a quantity: [step, value, ...] in train mode and in eval mode. */
  const curvesOf = (looks, what) => ({
    train: looks.flatMap((look) => [look.step, look.train[what]]),
    eval: looks.flatMap((look) => [look.step, look.eval[what]]),
  });

  /** The four pictures, as far as this playground has room for them. */
  const gallery = (holder, small) => {
    holder.className = "nc-picture nc-panels";
    holder.replaceChildren();
    const modes = [["train", "train mode"], ["eval", "eval mode"]]; // prettier-ignore
    const both = ["before", "train", "eval"];
    const loss = small || panel(holder, "Loss on new images.", [...modes, ["batch", "loss of each batch"]], { log: true, curves: ["batch", ...both] });
    const right = panel(holder, "Right on new images.", modes, { curves: both });
    const means = panel(holder, "Batch means, last layer.", [["dots", "norm batches"], ["running", "running mean"]], { curves: ["dots", "running"] }); // prettier-ignore
    const weights = small || panel(holder, "Length ‖w‖ of the convolutions' weights.", [["weights", ""]], { curves: ["before", "weights"] }); // prettier-ignore

    const drawLoss = (past, before, steps) => {
      const curves = curvesOf(past.looks, "loss");
      const batch = thinned(past.losses);
      const old = curvesOf(before.looks, "loss").eval;
      loss.draw(steps, decadesAround([...batch, ...curves.train, ...curves.eval]), { batch, before: old, ...curves });
      const last = past.looks.at(-1);
      if (!last) return;
      loss.say([`train mode ${short(last.train.loss)}`, `eval mode ${short(last.eval.loss)}`]);
    };
    const drawRight = (past, before, steps) => {
      const curves = curvesOf(past.looks, "right");
      right.draw(steps, [0, 1], { before: curvesOf(before.looks, "right").eval, ...curves });
      const last = past.looks.at(-1);
      if (last) right.say([`train mode ${percent(last.train.right)}`, `eval mode ${percent(last.eval.right)}`]);
    };
    const drawMeans = (past, steps, channel) => {
      const done = past.losses.length;
      const groups = past.means[0] ? past.means[0].length / 8 : 1;
      const every = Math.ceil((past.means.length * groups) / 500);
      const dots = [];
      let count = 0;
      past.means.forEach((values, k) => {
        for (let g = 0; g < groups; g++) if (count++ % every === 0) dots.push(k + 1, values[8 * g + channel]);
      });
      const running = past.running[0] ? thinned(past.running.map((values) => values[channel])) : [];
      means.title(`Batch means of channel ${channel + 1}, last layer.`);
      means.draw(steps, around([...dots, ...running]), { dots, running });
      const last = past.running.at(-1);
      const nothing = done && !last ? "no running mean: nothing is kept" : "running mean";
      means.say(["norm batches", last ? `running mean ${short(last[channel])}` : nothing]);
    };
    const drawWeights = (past, before, steps) => {
      const points = thinned(past.weights, 0);
      weights.draw(steps, around(points), { before: thinned(before.weights, 0), weights: points });
      weights.say([`now ${short(past.weights.at(-1))}`]);
    };
    return {
      draw: (past, before, channel) => {
        const done = past.losses.length;
        const steps = [100, 200, 300, 500, 1000, 2000].find((most) => done <= most);
        drawRight(past, before, steps);
        drawMeans(past, steps, channel);
        if (small) return;
        drawLoss(past, before, steps);
        drawWeights(past, before, steps);
      },
      describe: (past, channel) => {
        const last = past.looks.at(-1);
        if (!last) return;
        const modes = (text) => `${text(last.train)} in train mode, ${text(last.eval)} in eval mode, at step ${last.step}.`;
        right.describe(modes((look) => percent(look.right)));
        const running = past.running.at(-1);
        means.describe(
          running ? `The running mean is ${short(running[channel])} at step ${past.running.length}.` : "There is no running mean.",
        );
        if (small) return;
        loss.describe(modes((look) => short(look.loss)));
        weights.describe(`${short(past.weights[0])} at the start, ${short(past.weights.at(-1))} now.`);
      },
    };
  };

  // ---- dials

  /** {name, get, set, listen} of one dial; its value is its label, as in a link. */
  const dialOf = (box) => {
    const range = box.querySelector("input");
    const start = box.dataset.start;
    if (range) {
      const labels = range.dataset.labels.split(" ");
      const readout = box.querySelector("output");
      const get = () => labels[range.value];
      const say = (text) => {
        readout.value = text;
        range.setAttribute("aria-valuetext", text);
      };
      return {
        name: box.dataset.name,
        start,
        get,
        set: (label) => labels.includes(label) && ((range.value = labels.indexOf(label)), say(label)),
        listen: (act) => range.addEventListener("input", () => (say(get()), act())),
        say,
      };
    }
    const buttons = [...box.querySelectorAll("button")];
    const press = (label) => {
      if (!buttons.some((one) => one.textContent === label)) return;
      for (const one of buttons) one.setAttribute("aria-pressed", String(one.textContent === label));
    };
    return {
      name: box.dataset.name,
      start,
      get: () => buttons.find((one) => one.matches('[aria-pressed="true"]')).textContent,
      set: press,
      listen: (act) => buttons.forEach((one) => one.addEventListener("click", () => (press(one.textContent), act()))),
      say: () => {},
    };
  };

  const valueOf = (name, label) => (name === "norm" ? label : name === "sorted" ? label === "on" : Number(label));

  // ---- one playground

  const bring = (root, core) => {
    const small = root.matches(".nc-small");
    const data = core.unpack(core.digits);
    const dials = Object.fromEntries([...root.querySelectorAll(".nc-dial")].map(dialOf).map((dial) => [dial.name, dial]));
    const [play, step, reset] = ["play", "step", "reset"].map((name) => root.querySelector(`[data-do=${name}]`));
    const said = root.querySelector(".nc-said");
    const news = root.querySelector(".nc-news");
    const task = root.querySelector(".nc-task");
    let pictures = null; // the still picture stays until somebody touches something
    const settings = { norm: "batch", batch: 16, normBatch: 32, sorted: false, rate: 0.03, inertia: 0.9, momentum: 0.1, gain: 1.41, depth: 3, seed: 1 }; // prettier-ignore
    let run;
    let work;
    let past = chronicle();
    let before = chronicle();
    let playing = false;
    let goal = 0; // the step that the run is on its way to
    let due = 0; // parts of a step that are due while it plays
    let until = LONGEST;
    let waiting = false; // for a frame
    let seen = true; // is any of it in the window?
    let last = 0; // time of the last frame
    let spoke = 0; // time of the last news
    let card = null;

    const wake = () => (pictures ??= gallery(root.querySelector(".nc-picture"), small));

    // -- what it says

    const channel = () => Number(dials.channel?.get() ?? 1) - 1;
    const status = () => {
      const look = past.looks.at(-1);
      const who = `${NAMES[settings.norm]}, batches of ${settings.batch}`;
      if (!look) return `${who}. Step 0.`;
      if (run.lost) return `${who}. Step ${run.step}: the loss is not a number any more, the weights have run away.`;
      const modes =
        settings.norm === "batch"
          ? `${percent(look.train.right)} in train mode, ${percent(look.eval.right)} in eval mode`
          : `${percent(look.eval.right)} in both modes`;
      return `${who}. Step ${run.step}: right on new images ${modes}.`;
    };
    const speak = (text) => {
      spoke = performance.now();
      news.textContent = text;
      pictures?.describe(past, channel());
    };
    const show = () => {
      pictures?.draw(past, before, channel());
      said.textContent = status() + (pictures ? "" : " The picture is of an earlier run; Play begins yours.");
      root.dataset.step = run.step;
    };
    const mark = () => {
      root.dataset.state = playing ? "playing" : "paused";
      play.textContent = playing ? "Pause" : "Play";
    };

    // -- frames

    const current = () => run.looks.step === run.step - (run.step % core.EVERY);
    const behind = () => run.step < goal || !current();
    const advance = () => {
      const { step: from } = run;
      work.next();
      if (run.step !== from) {
        record(past, run, core);
        if (!Number.isFinite(run.loss)) run.lost = true;
      }
      if (run.looks.step !== past.looks.at(-1)?.step) past.looks.push(run.looks);
    };
    const ahead = (now) => {
      if (!playing) return;
      const passed = Math.min(now - last, 100);
      const speed = RATES[dials.speed?.get() ?? "normal"];
      if (calm.matches) {
        if (now - last < 1000 || behind()) return; // one leap a second, and not before the last one is shown
        goal += Math.min(speed, 60);
      } else if (speed === Infinity) {
        goal = until;
      } else {
        due += (passed * speed) / 1000;
        goal = Math.min(goal + Math.floor(due), run.step + 3); // what the machine cannot keep up with is dropped
        due %= 1;
      }
      goal = Math.min(goal, until);
      last = now;
    };
    const frame = (now) => {
      waiting = false;
      if (!seen) return;
      const start = performance.now();
      ahead(now);
      const worked = behind();
      while (behind() && !run.lost && performance.now() - start < BUDGET) advance();
      if (worked && !(calm.matches && behind() && !run.lost)) show();
      if (playing && (run.lost || (run.step >= until && current()))) stop(true);
      else if (playing && now - spoke > 5000) speak(status());
      next();
    };
    const next = () => {
      if (waiting || !seen || !(playing || (behind() && !run.lost))) return;
      waiting = true;
      requestAnimationFrame(frame);
    };

    // -- what a reader does

    const stop = (ended = false) => {
      playing = false;
      goal = run.step;
      mark();
      show();
      const end = ended && run.step >= LONGEST ? ` ${LONGEST} steps are the end; Reset begins anew.` : "";
      said.textContent = status() + end;
      speak(`${ended ? "Stopped" : "Paused"}. ${said.textContent}`);
      if (ended && card) reveal();
    };
    const start = (end = LONGEST) => {
      wake();
      if (run.lost || run.step >= LONGEST) begin();
      until = end;
      playing = true;
      last = performance.now();
      mark();
      speak(`Training. ${status()}`);
      next();
    };
    const begin = () => {
      if (past.looks.length > 1) before = past;
      past = chronicle();
      run = core.begin(settings, data);
      work = core.work(run);
      past.weights.push(core.weightNorm(run.net));
      goal = due = 0;
      show();
      next();
    };
    const read = () => {
      for (const [name, dial] of Object.entries(dials)) {
        if (name in settings) settings[name] = valueOf(name, dial.get());
      }
      const whole = settings.normBatch >= settings.batch;
      dials.normBatch?.say(whole ? `${settings.batch}, the whole batch` : String(settings.normBatch));
      dials.momentum?.say(settings.norm === "batch" ? dials.momentum.get() : `${dials.momentum.get()}, batch norm only`);
    };

    // -- the link

    const inLink = () => {
      const changed = Object.values(dials).filter((dial) => dial.name !== "speed" && dial.get() !== dial.start);
      return `#${changed.map((dial) => `${dial.name}=${dial.get()}`).join("&")}`;
    };
    let later;
    const remember = () => {
      clearTimeout(later);
      try {
        history.replaceState(null, "", inLink());
      } catch {
        later = setTimeout(remember, 1000); // browsers refuse an address that changes all the time
      }
    };
    const apply = (link) => {
      const told = new URLSearchParams(link.slice(1).replace(/%3D/gi, "=").replace(/%26/g, "&")); // as some programs write it
      for (const dial of Object.values(dials)) {
        if (dial.name === "speed") continue;
        dial.set(dial.start);
        if (told.has(dial.name)) dial.set(told.get(dial.name));
      }
      read();
    };
    const isOurs = (link) => /^#\w+(=|%3D)/i.test(link);

    // -- cards

    const reveal = () => {
      const answer = card.querySelector("details > p").textContent;
      const right = card.dataset.choice === card.dataset.right;
      task.querySelector(".nc-answer").textContent = `${right ? "As you said." : "Not as you said."} ${answer}`;
      card.querySelector("details").hidden = false;
      card.querySelector("details").open = true;
      speak(`${said.textContent} ${task.querySelector(".nc-answer").textContent}`);
      card = null;
    };
    const attempt = (chosen, button) => {
      card = chosen;
      for (const one of card.querySelectorAll("[data-choice]")) one.setAttribute("aria-pressed", String(one === button));
      card.dataset.choice = button.dataset.choice;
      history.pushState(null, "", card.dataset.link);
      apply(card.dataset.link);
      begin();
      task.hidden = false;
      task.replaceChildren();
      for (const [name, text] of [
        ["nc-card-question", card.querySelector("p").textContent],
        ["nc-prediction", `You say: ${button.textContent}.`],
        ["nc-answer", "Wait for the end of the run."],
      ]) {
        const line = document.createElement("p");
        line.className = name;
        line.textContent = text;
        task.append(line);
      }
      root.scrollIntoView({ block: "start" });
      start(Number(card.dataset.steps));
    };
    const drop = () => {
      card = null;
      task.hidden = true;
    };

    // -- beginnings

    play.addEventListener("click", () => (playing ? stop() : start(card ? until : LONGEST)));
    step.addEventListener("click", () => {
      if (playing) stop();
      wake();
      if (run.lost || run.step >= LONGEST) return;
      goal = run.step + 1;
      while (behind() && !run.lost) advance();
      show();
      speak(status());
    });
    reset.addEventListener("click", () => {
      drop();
      wake();
      begin();
      if (playing) until = LONGEST;
      speak(`At the start again. ${status()}`);
    });
    for (const dial of Object.values(dials)) {
      dial.listen(() => {
        wake();
        read();
        if (!small) remember();
        if (dial.name !== "channel" && dial.name !== "speed") drop();
        if (FRESH.includes(dial.name)) begin();
        show();
      });
    }
    if (!small) {
      addEventListener("hashchange", () => {
        if (location.hash && !isOurs(location.hash)) return; // a heading of the page
        drop();
        wake();
        apply(location.hash);
        begin();
        if (playing) stop();
      });
      for (const one of document.querySelectorAll(".nc-card")) {
        one.querySelector("details").hidden = true;
        for (const button of one.querySelectorAll("[data-choice]")) {
          button.setAttribute("aria-pressed", "false");
          button.addEventListener("click", () => attempt(one, button));
        }
      }
    }
    new IntersectionObserver((boxes) => {
      seen = boxes.at(-1).isIntersecting;
      root.dataset.seen = seen;
      last = performance.now();
      next();
    }).observe(root);
    addEventListener("visibilitychange", () => (last = performance.now()));
    addEventListener("beforeprint", () => playing && stop());

    if (!small && isOurs(location.hash)) {
      wake();
      apply(location.hash);
    } else {
      read();
    }
    begin();
    for (const control of [...root.querySelectorAll(":disabled"), ...document.querySelectorAll(".nc-card :disabled")]) {
      control.disabled = false;
    }
    mark();
  };

  // ---- the network and its digits come when a playground is near, or when somebody is on the way by keyboard

  addEventListener("load", () => {
    const roots = [...document.querySelectorAll(".nc-playground")];
    const fetchFile = (address) =>
      new Promise((done, fail) => {
        const script = document.createElement("script");
        script.src = address;
        script.addEventListener("load", done);
        script.addEventListener("error", fail);
        document.head.append(script);
      });
    let asked = false;
    const near = async () => {
      if (asked) return;
      asked = true;
      observer.disconnect();
      try {
        await fetchFile(files.core);
        await fetchFile(files.digits);
      } catch {
        for (const root of roots) {
          root.querySelector(".nc-said").textContent =
            "The network did not arrive, so this stays a picture. Reload the page to try again.";
        }
        return;
      }
      for (const root of roots) bring(root, globalThis.normcorePlayground);
    };
    const observer = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && near(), {
      rootMargin: "400px 0px",
    });
    roots.forEach((root) => observer.observe(root));
    addEventListener("keydown", near, { once: true });
  });
})();
