// Runs the playground's network in Node: node playground.js CORE < tasks.json > answers.json
"use strict";

require(require('path').resolve(process.argv[2]));
const core = globalThis.normcorePlayground;
const { digits, tasks } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const data = core.unpack(digits);
const flat = (arrays) => arrays.flatMap((array) => [...array]);
const finish = (pieces) => {
  while (!pieces.next().done);
};

const does = {
  /** Every step's loss and means, and at some steps all parameters, running statistics and a look. */
  trajectory: ({ settings, steps, at }) => {
    const run = core.begin(settings, data);
    const told = { losses: [], means: [], states: [] };
    for (let step = 0; step <= steps; step++) {
      if (step) {
        core.advance(run);
        told.losses.push(run.loss);
        told.means.push([...run.means]);
      }
      if (at.includes(step)) {
        finish(core.look(run));
        told.states.push({
          parameters: flat(core.parameters(run.net)),
          running: flat(run.net.layers.flatMap((layer) => [layer.mean, layer.variance])),
          look: run.looks,
          weightNorm: core.weightNorm(run.net),
        });
      }
    }
    return told;
  },

  /** Gradients by hand beside central differences, for a few entries of every parameter. */
  gradients: ({ settings, entries, h }) => {
    const run = core.begin(settings, data);
    for (let step = 0; step < 3; step++) core.advance(run); // gamma and beta are not 1 and 0 then
    const random = core.generator(settings.seed);
    const images = data.train.images.subarray(64 * 20, 64 * (20 + settings.batch));
    const labels = Array.from({ length: settings.batch }, (_, k) => k % 10);
    const normBatch = core.normBatchOf(settings);
    const loss = () => core.judge(core.forward(run.net, images, normBatch).scores, labels).loss;
    const passed = core.forward(run.net, images, normBatch);
    const byHand = core.backward(run.net, passed, core.judge(passed.scores, labels).dscores);
    return core.parameters(run.net).map((parameter, k) =>
      Array.from({ length: entries }, () => {
        const p = Math.floor(random() * parameter.length);
        const old = parameter[p];
        parameter[p] = old + h;
        const above = loss();
        parameter[p] = old - h;
        const below = loss();
        parameter[p] = old;
        return [byHand[k][p], (above - below) / (2 * h)];
      }),
    );
  },

  /** What a run shows at some steps, as a reader sees it. */
  looks: ({ settings, at }) => {
    const run = core.begin(settings, data);
    return at.map((step) => {
      while (run.step < step) core.advance(run);
      finish(core.look(run));
      return { ...run.looks, loss: run.loss, weightNorm: core.weightNorm(run.net) };
    });
  },
};

const answers = tasks.map(({ what, ...rest }) => does[what](rest));
const plain = (_, value) => (typeof value === "number" && !Number.isFinite(value) ? String(value) : value);
process.stdout.write(JSON.stringify(answers, plain));
