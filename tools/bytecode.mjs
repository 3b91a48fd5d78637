// node bytecode.mjs PYODIDE TASK: within that Pyodide, runs a trial program and converts archives (bytecode.py).
// TASK is a JSON file: {packages, unpack, trial, archives: [the arguments of `convert`, …]}; modules that the trial has
// imported get bytecode, of an archive with `all` every one. Without archives it only runs the trial. The answer on the output: how many modules of each
// archive are bytecode.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

process.on("uncaughtException", (error) => (console.error(error.message ?? error), process.exit(1))); // without Pyodide's line

const [folder, list] = process.argv.slice(2).map((one) => path.resolve(one));
const { packages, unpack, trial, archives } = JSON.parse(fs.readFileSync(list, "utf8"));
const { loadPyodide } = await import(pathToFileURL(path.join(folder, "pyodide.mjs")));
const quiet = { stdout() {}, messageCallback() {} };
const python = await loadPyodide({ indexURL: folder + path.sep, env: { HOME: "/home/pyodide" }, ...quiet });
await python.loadPackage(packages, { messageCallback() {} });
for (const archive of unpack) {
  python.unpackArchive(new Uint8Array(fs.readFileSync(path.join(folder, archive))), "zip", { extractDir: "/home/pyodide" });
}
python.runPython("import sys; sys.path.insert(0, '/home/pyodide')");
python.runPython(trial);
const tools = python.globals.get("dict")();
python.runPython(fs.readFileSync(new URL("bytecode.py", import.meta.url), "utf8"), { globals: tools });
const only = tools.get("imported")();
const counts = archives.map(({ source, target, place, all, ...options }) => {
  python.FS.writeFile("/in.zip", fs.readFileSync(source));
  const count = tools.get("convert").callKwargs("/in.zip", "/out.zip", place, { ...(!all && { only }), ...options });
  fs.writeFileSync(target, python.FS.readFile("/out.zip"));
  return count;
});
fs.writeSync(1, JSON.stringify(counts));
