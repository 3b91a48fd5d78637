// One line in the corner of a live notebook: what is being waited for, and, when something is in the way, what it is
// and what to do. JupyterLite itself shows little of either.
(() => {
  "use strict";

  const SIZE = "29 MB";
  const ELSEWHERE = "You can download the notebook on the chapter's page and run it on your computer.";
  const SAY = {
    file: "These notebooks need a web server. In the folder of this site run “python -m http.server”, then open http://localhost:8000/ in your browser.",
    wasm: `Python cannot start: WebAssembly is switched off in this window (some private or locked-down windows do that). Try an ordinary window. ${ELSEWHERE}`,
    worker: "This window does not allow service workers; private windows often do not. The chapter runs, but files it writes cannot be read back, and your changes are gone when you close the window.",
    blocked: `Python could not be downloaded: the connection is gone, or something blocks it. Reload the page to try again. ${ELSEWHERE}`,
    full: "This browser has no storage left for this site. The chapter runs, but your changes cannot be kept: download the notebook (File ▸ Download) before you close the window.",
    slow: `Python is still not there after two minutes. A slow connection may need longer; reload the page if nothing moves. ${ELSEWHERE}`,
    stop: "Python in a browser cannot be stopped in the middle of a cell. Restarting it ends the cell; what you wrote stays, variables are gone.",
    old: "The book has changed since your last visit, and this is the new edition. What you changed in the old one is still in this browser:",
  };

  const box = document.createElement("div");
  box.id = "nc-status";
  box.setAttribute("role", "status");
  box.style.cssText =
    "position:fixed;right:1rem;bottom:1rem;z-index:10000;max-width:26rem;display:grid;gap:.5rem;" +
    "font:15px/1.4 system-ui,sans-serif";
  const line = (text, kind) => {
    const note = document.createElement("div");
    note.className = `nc-${kind}`;
    note.style.cssText =
      "background:#1b3a57;color:#fff;padding:.6rem .9rem;border-radius:6px;box-shadow:0 1px 6px #0006";
    note.textContent = text;
    box.append(note);
    return note;
  };
  const close = (note) => {
    const button = document.createElement("button");
    button.textContent = "Close";
    button.style.cssText = "margin-left:.75rem;font:inherit";
    button.onclick = () => note.remove();
    note.append(button);
  };
  const said = new Set();
  const warn = (kind) => {
    if (said.has(kind)) return undefined;
    said.add(kind);
    const note = line(SAY[kind], kind);
    close(note);
    return note;
  };

  const MADE = window.normcoreLive ?? { downloads: [], pages: {} }; // build_lite.py writes it above this script
  const notebook = () => window.jupyterapp?.shell?.currentWidget;

  const start = () => {
    document.body.append(box);
    wayBack();
    if (location.protocol === "file:") return warn("file");
    if (typeof WebAssembly !== "object") return warn("wasm");
    storage();
    oldCopies();
    worker();
    whenOpen();
    return python();
  };

  // ---- what JupyterLite does not do by itself ----

  // a link to the chapter, unless the notebook is in the chapter's own page
  const wayBack = () => {
    const name = new URLSearchParams(location.search).get("path")?.replace(/\.ipynb$/, "");
    const page = MADE.pages[name];
    if (!page || window.parent !== window) return;
    const note = line("", "back");
    const link = document.createElement("a");
    link.href = new URL(`../../${page}`, location.href);
    link.textContent = "← Back to the chapter";
    link.style.cssText = "color:#fff";
    note.append(link);
    note.style.justifySelf = "end";
  };

  const whenOpen = () => {
    const opened = setInterval(() => {
      const context = notebook()?.context;
      if (!context?.isReady) return;
      clearInterval(opened);
      keepChanges(context);
      window.jupyterapp.commands.commandExecuted.connect((_, { id }) => /interrupt/.test(id) && stop());
    }, 300);
  };

  // JupyterLite saves every two minutes; a reload before that would lose what was written.
  const keepChanges = (context) => {
    let waiting = 0;
    const save = () => {
      waiting = clearTimeout(waiting);
      if (context.model.dirty) context.save().catch(() => undefined); // no room: watchStorage says so
    };
    context.model.contentChanged.connect(() => {
      clearTimeout(waiting);
      waiting = setTimeout(save, 1000);
    });
    document.addEventListener("visibilitychange", () => document.hidden && waiting && save());
  };

  const stop = () => {
    const { kernel } = notebook().sessionContext.session;
    if (kernel.status !== "busy" || box.querySelector(".nc-stop")) return;
    const note = line(SAY.stop, "stop");
    const button = document.createElement("button");
    button.textContent = "Restart Python";
    button.style.cssText = "margin-left:.75rem;font:inherit";
    button.onclick = () => {
      note.remove();
      python();
      kernel.restart();
    };
    note.append(button);
    close(note);
  };

  // Light or dark as the book: its pages keep what the reader chose.
  const isDark = () => {
    let mode = "auto";
    try {
      mode = localStorage.getItem("mode") || mode;
    } catch {
      // a window without storage
    }
    return mode === "dark" || (mode === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  };

  const dim = (config) => {
    const themes = "@jupyterlab/apputils-extension:themes";
    const settingsOverrides = { ...config.settingsOverrides, [themes]: { theme: "JupyterLab Dark" } };
    return { ...config, settingsOverrides };
  };

  // ---- Python ----

  // Python's worker tells nobody how far it is. Its files are asked for from here as well, one after the other, so they
  // come once, into the browser's cache, and can be counted; those of the first cell, too. A private window may keep no
  // large file: there it ends after the first one.
  const loaded = { bytes: 0, all: MADE.downloads.reduce((sum, [, size]) => sum + size, 0), done: false };
  const download = async () => {
    for (const [name] of MADE.downloads) {
      const address = new URL(`../static/pyodide/${name}`, location.href);
      try {
        const { body } = await fetch(address, { priority: "low" });
        const reader = body.getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read()) loaded.bytes += part.value.length;
        const kept = await fetch(address, { cache: "only-if-cached", mode: "same-origin" });
        kept.body.cancel();
        if (!kept.ok) break;
      } catch {
        break; // python() asks what is the matter
      }
    }
    loaded.done = true;
  };
  const percent = () => Math.min(99, Math.floor((100 * loaded.bytes) / (loaded.all || 1)));

  const python = () => {
    const began = Date.now();
    const note = line("", "progress");
    const bar = document.createElement("progress");
    const text = document.createElement("span");
    note.append(text, bar);
    let running = true;
    const end = () => {
      running = false;
      clearInterval(clock);
      note.remove();
    };
    const tick = () => {
      const seconds = Math.round((Date.now() - began) / 1000);
      // a bar that moves without end takes the processor from Python
      bar.style.cssText = `width:100%;display:${loaded.done ? "none" : "block"}`;
      bar.value = percent() / 100;
      const far = loaded.done ? "" : ` ${percent()}% of ${SIZE} are here; the next time they come from your disk.`;
      text.textContent = `Starting Python in your browser: ${seconds} s.${far}`;
      if (seconds > 120) warn("slow");
      const session = notebook()?.sessionContext?.session;
      if (session?.kernel?.status === "idle") {
        end();
        const how = matchMedia("(pointer: coarse)").matches ? "▶ in the bar above" : "Shift+Enter";
        const ready = line(`Python is ready. ${how} runs a cell; Run ▸ Run All Cells runs the chapter.`, "ready");
        setTimeout(() => ready.remove(), 8000);
        firstCell(session);
      }
    };
    const clock = setInterval(tick, 500);
    tick();
    // a download that fails inside of the worker is not reported anywhere: ask for the same file from here
    const core = new URL("../static/pyodide/pyodide.asm.wasm", location.href);
    const blocked = () => {
      if (!running) return;
      end();
      warn("blocked");
    };
    fetch(core, { method: "HEAD" }).then((answer) => answer.ok || blocked(), blocked);
    window.addEventListener("offline", blocked);
  };

  // The first cell loads NumPy and Matplotlib, some seconds in which a notebook shows [*] and nothing else.
  const firstCell = (session) => {
    let began = 0;
    let note;
    const clock = setInterval(() => {
      const busy = session.kernel?.status === "busy";
      if (busy && !began) {
        began = Date.now();
        note = line("", "first");
      }
      if (busy) {
        const seconds = Math.round((Date.now() - began) / 1000);
        const far = loaded.done ? "" : ` ${percent()}% of ${SIZE} are here.`;
        note.textContent = `The first cell loads NumPy and Matplotlib: ${seconds} s.${far}`;
      }
      if (began && (!busy || Date.now() - began > 60000)) {
        clearInterval(clock);
        note.remove();
      }
    }, 300);
  };

  // ---- service worker, storage ----

  const worker = () => {
    if (!navigator.serviceWorker) return warn("worker");
    const ready = navigator.serviceWorker.ready;
    const late = new Promise((_, refuse) => setTimeout(refuse, 20000));
    return Promise.race([ready, late]).catch(() => warn("worker"));
  };

  // A browser with no room refuses single writes, and JupyterLite says little about that: its first write fails
  // before the chapter is open, so it starts once more with everything in memory; a later one fails in silence.
  const IN_MEMORY = "in-memory";
  const isFull = (error) => /Quota/.test(`${error?.name} ${error?.message}`);

  const noRoom = () => {
    const address = new URL(location.href);
    if (window.jupyterapp?.shell?.currentWidget || address.searchParams.has(IN_MEMORY)) return warn("full");
    address.searchParams.set(IN_MEMORY, "1");
    return location.replace(address);
  };

  const watchStorage = () => {
    const { transaction } = IDBDatabase.prototype;
    IDBDatabase.prototype.transaction = function (...names) {
      const begun = transaction.apply(this, names);
      begun.addEventListener("abort", () => isFull(begun.error) && noRoom());
      return begun;
    };
    const { open } = IDBFactory.prototype;
    IDBFactory.prototype.open = function (...name) {
      const asked = open.apply(this, name);
      asked.addEventListener("error", () => isFull(asked.error) && noRoom());
      return asked;
    };
  };

  const inMemory = (config) => {
    const memory = { enableMemoryStorage: true };
    for (const what of ["contents", "settings", "workspaces"]) memory[`${what}StorageDrivers`] = ["memoryStorageDriver"];
    return { ...config, ...memory };
  };

  const settle = (...changes) => {
    const config = document.getElementById("jupyter-config-data");
    const observer = new MutationObserver(() => {
      observer.disconnect(); // the page has put its settings together, and loads JupyterLite next
      const made = changes.reduce((settings, change) => change(settings), JSON.parse(config.textContent));
      config.textContent = JSON.stringify(made);
    });
    observer.observe(config, { childList: true });
  };

  const storage = async () => {
    if (new URLSearchParams(location.search).has(IN_MEMORY)) warn("full");
    window.addEventListener("unhandledrejection", (event) => isFull(event.reason) && warn("full"));
    try {
      localStorage.setItem("nc-room", "x".repeat(10000));
      localStorage.removeItem("nc-room");
      const { quota, usage } = await navigator.storage.estimate();
      if (quota - usage < 5e6) warn("full");
    } catch (error) {
      warn(isFull(error) ? "full" : "worker");
    }
  };

  // ---- copies of an older edition ----

  const settings = () => JSON.parse(document.getElementById("jupyter-config-data")?.textContent || "{}");

  const current = async () => {
    const own = settings().contentsStorageName;
    if (own) return own;
    const answer = await fetch(new URL("../jupyter-lite.json", location.href));
    return (await answer.json())["jupyter-config-data"].contentsStorageName;
  };

  const oldCopies = async () => {
    if (!indexedDB?.databases) return;
    const now = await current();
    const names = (await indexedDB.databases()).map((one) => one.name);
    const old = names.filter((name) => /^normcore-[0-9a-f]{10}$/.test(name) && name !== now);
    const files = (await Promise.all(old.map(read))).flat().filter((file) => file?.type === "notebook");
    if (!files.length) return;
    const note = warn("old");
    for (const file of files) {
      const link = document.createElement("a");
      const body = new Blob([JSON.stringify(file.content, null, 1)], { type: "application/json" });
      link.href = URL.createObjectURL(body);
      link.download = `my-${file.name}`;
      link.textContent = file.name;
      link.style.cssText = "color:#fff;display:block;text-decoration:underline";
      note.append(link);
    }
  };

  const read = (name) =>
    new Promise((done) => {
      const opening = indexedDB.open(name);
      opening.onerror = () => done([]);
      opening.onsuccess = () => {
        const base = opening.result;
        const finish = (found) => (base.close(), done(found));
        if (!base.objectStoreNames.contains("files")) return finish([]);
        const all = base.transaction("files").objectStore("files").getAll();
        all.onsuccess = () => finish(all.result);
        all.onerror = () => finish([]);
      };
    });

  const changes = [];
  if (isDark()) {
    changes.push(dim);
    document.documentElement.style.colorScheme = "dark";
  }
  if (new URLSearchParams(location.search).has(IN_MEMORY)) changes.push(inMemory);
  else if (window.IDBDatabase) watchStorage();
  if (changes.length) settle(...changes);
  if (location.protocol !== "file:") download();
  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start);
})();
