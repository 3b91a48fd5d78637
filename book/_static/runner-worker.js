// Python beside a page, in a worker: runner.js asks, and each question is answered by its number.
let python, kernel;

// What arrives is counted as it comes, and a download that breaks off is told: Pyodide itself may wait for ever then.
const lost = (why) => postMessage({ lost: String(why) });
const plainFetch = self.fetch;
self.fetch = async (...what) => {
  let reply;
  try {
    reply = await plainFetch(...what);
  } catch (error) {
    lost(error.message);
    throw error;
  }
  if (!reply.ok) lost(reply.status);
  (async () => {
    const reader = reply.clone().body.getReader(); // the reply itself goes on as it is, so a browser can keep compiled code
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      postMessage({ arrived: value.byteLength });
    }
  })().catch((error) => lost(error.message));
  return reply;
};

async function start({ home, packages, data }) {
  new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)); // a policy that forbids it says so here
  const get = async (name) => new Uint8Array(await (await fetch(home + name)).arrayBuffer());
  const own = ["python/book.zip", "kernel.py", "checking.py"].map(get);
  const { loadPyodide } = await import(`${home}python/pyodide.mjs`).catch((error) => (lost(error), Promise.reject(error)));
  const env = { HOME: "/home/pyodide", MPLBACKEND: "svg" };
  python = await loadPyodide({ indexURL: `${home}python/`, packages, env });
  const [book, ...sources] = await Promise.all(own);
  python.unpackArchive(book, "zip", { extractDir: "/home/pyodide" });
  for (const path of data) { // each is fetched when a cell opens it
    const [, folder, name] = path.match(/(.*)\/(.*)/);
    python.FS.mkdirTree(`/home/pyodide/${folder}`);
    python.FS.createLazyFile(`/home/pyodide/${folder}`, name, `${home}python/data/${path}`, true, false);
  }
  ["kernel", "checking"].forEach((name, at) => python.FS.writeFile(`/home/pyodide/${name}.py`, sources[at]));
  python.runPython("import sys; sys.path.insert(0, '/home/pyodide')");
  kernel = python.pyimport("kernel");
  if (packages.includes("matplotlib")) {
    kernel.dials_of_a_page();
    setTimeout(() => python.runPython("import matplotlib.figure, matplotlib.backends.backend_svg")); // while somebody reads
  }
  return {};
}

const plain = (value) => value?.toJs?.({ dict_converter: Object.fromEntries }) ?? value ?? {};

let started;
self.onmessage = async ({ data: { id, ask, ...data } }) => {
  try {
    if (ask === "start") started = start(data);
    await started;
    let answer = {};
    if (ask === "run") answer = plain(kernel.run(data.source, data.name, (kind, text) => postMessage({ id, kind, text })));
    if (ask === "check") answer = plain(python.pyimport("checking").check(python.toPy(data.box), (kind, text) => postMessage({ id, kind, text })));
    if (ask === "dials") answer = plain(kernel.dials(data.key));
    if (ask === "draw") answer = plain(kernel.draw(data.key, python.toPy(data.at), python.toPy(data.extra)));
    postMessage({ id, answer });
  } catch (error) {
    console.error(error);
    postMessage({ id, answer: { ended: String(error?.message ?? error) } }); // nothing in here can be trusted any more
  }
};
