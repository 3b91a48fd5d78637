// Code cells that can be edited and run where they stand. Until the first click nothing is fetched but this file.
(() => {
  "use strict";

  const script = document.currentScript;
  const home = new URL(".", script.src).href; // _static/
  const list = script.dataset.cells;
  if (!list || location.protocol === "file:") return; // a page that was opened from a folder cannot start a worker

  const STOPPED = "Stopped. All variables of this page are gone; the next run starts Python anew, with the cells above.";
  const SAY = {
    wasm: "Python cannot start: WebAssembly is switched off in this window. Try an ordinary window, or download the notebook.",
    policy: "Python cannot start: this site's server forbids WebAssembly ('wasm-unsafe-eval' is missing in its policy).",
    start: "Python did not start in this browser. Reload the page to try again, or download the notebook.",
    lost: "The download broke off. Check the connection, then run the cell again: what has arrived need not come twice.",
    memory: "Python ran out of memory and ended; all variables are gone. Make the arrays smaller, then run the cell again.",
    ended: "Python ended in the middle of the cell; all variables are gone. The next run starts it anew.",
    editor: "The editor did not arrive. Check the connection, then click again.",
    torch: "This cell needs PyTorch, which does not run in a page. It runs on your computer, on Binder and on Colab.",
  };

  const once = (make) => {
    let made;
    return () => (made ??= make().catch((error) => ((made = undefined), Promise.reject(error))));
  };
  const getPage = once(async () => {
    const reply = await fetch(list);
    if (!reply.ok) throw new Error(reply.status);
    return reply.json();
  });
  const getEditor = once(() => import(`${home}vendor/editor.js`));
  const MB = (bytes) => (bytes / 1e6).toFixed(1);

  function element(name, attributes = {}, ...children) {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...children);
    return made;
  }

  // ---- one Python for the page; a stop ends it, and the next run starts another

  const python = {
    ran: new Map(), // number of a cell: the source that this Python has run
    waiting: new Map(),
    number: 0,
    arrived: 0,
    onload() {},

    start(page) {
      if (this.worker) return this.started;
      if (typeof WebAssembly !== "object") return Promise.resolve({ ended: SAY.wasm });
      const worker = (this.worker = new Worker(`${home}runner-worker.js`, { type: "module" }));
      this.arrived = 0;
      worker.onerror = (event) => (event.preventDefault(), this.end({ ended: SAY.start }));
      worker.onmessage = ({ data: { id, answer, kind, text, arrived, lost } }) => {
        if (worker !== this.worker) return;
        if (lost !== undefined) this.end({ ended: SAY.lost });
        else if (arrived) this.onload((this.arrived += arrived), page.raw);
        else if (answer) this.answered(id, answer);
        else this.waiting.get(id)?.show?.(kind, text);
      };
      this.started = this.ask({ ask: "start", home, packages: page.packages, data: page.data }).then((answer) => {
        this.up = !answer.ended;
        return answer;
      });
      return this.started;
    },

    ask(message, show) {
      return new Promise((done) => {
        this.waiting.set(++this.number, { done, show });
        this.worker.postMessage({ id: this.number, ...message });
      });
    },

    answered(id, answer) {
      if (answer.ended) {
        const why = answer.ended;
        const memory = /memory|allocat|stack/i.test(why);
        return this.end({ ended: /unsafe-eval|Content.Security|CSP/i.test(why) ? SAY.policy : !this.up ? SAY.start : memory ? SAY.memory : SAY.ended });
      }
      this.waiting.get(id)?.done(answer);
      this.waiting.delete(id);
    },

    end(answer) {
      this.worker?.terminate();
      this.worker = undefined;
      this.up = false;
      this.ran.clear();
      const waiting = [...this.waiting.values()];
      this.waiting.clear();
      for (const { done } of waiting) done(answer);
      for (const dial of document.querySelectorAll("[data-live] :is(input, button)")) dial.disabled = true;
    },
  };

  // ---- the cells

  const boxes = new Map(); // number of a cell: its box
  let queue = Promise.resolve();

  class Box {
    constructor(cell, index, number) {
      this.cell = cell;
      this.index = index;
      this.name = `Cell ${number}`;
      const button = (textContent, onclick) => element("button", { type: "button", textContent, onclick });
      this.open = button("Edit and run", () => this.edit());
      this.go = button("Run", () => this.run());
      this.halt = button("Stop", () => python.end({ ended: STOPPED }));
      this.back = button("Reset", () => this.reset());
      this.bar = element("progress", { hidden: true });
      this.bar.setAttribute("aria-label", "Download of Python");
      this.amount = element("span", { className: "nc-amount" });
      this.amount.setAttribute("aria-hidden", "true");
      this.status = element("span", { className: "nc-status" });
      this.status.setAttribute("role", "status");
      this.place = element("div", { className: "nc-editor" });
      this.output = element("div", { className: "nc-output cell_output docutils container" });
      for (const one of [this.open, this.go, this.halt, this.back]) one.setAttribute("aria-label", `${one.textContent}: ${this.name}`);
      const tools = element("div", { className: "nc-tools" }, this.open, this.go, this.halt, this.back, this.bar, this.amount, this.status);
      const anchor = cell.querySelector(":scope > details.above-input, :scope > .cell_input");
      anchor.after(this.place, tools, this.output);
      boxes.set(index, this);
      this.show(false);
    }

    get source() {
      return this.view?.state.doc.toString();
    }

    say(text) {
      this.status.textContent = text;
    }

    old(part, hidden) {
      for (const one of this.cell.querySelectorAll(`:scope > :is(${part}):not(.nc-output)`)) one.hidden = hidden;
    }

    show(editing) {
      [this.open.hidden, this.go.hidden, this.halt.hidden, this.back.hidden] = [editing, !editing, !editing, !editing];
      this.old("details.above-input, .cell_input", editing);
      this.busy(false);
    }

    busy(running) {
      // not `disabled`: that would throw the focus away
      this.running = running;
      this.go.setAttribute("aria-disabled", running);
      this.halt.setAttribute("aria-disabled", !running);
      if (!running) [this.bar.hidden, this.amount.textContent] = [true, ""];
    }

    async edit() {
      if (this.view || this.opening) return;
      this.opening = true;
      this.say("Opening the editor");
      try {
        const [page, { edit }] = await Promise.all([getPage(), getEditor()]);
        this.page = page;
        python.start(page); // while the reader reads and types
        this.place.replaceChildren(element("div"));
        this.view = edit(this.place.firstChild, page.cells[this.index].source, `Code of ${this.name}`, () => this.run());
        this.place.firstChild.editor = this.view; // for other scripts: the way to the text
        this.show(true);
        this.view.focus();
        this.say("Shift+Enter runs the cell. Escape, then Tab, leaves the editor.");
      } catch (error) {
        this.say(SAY.editor);
      }
      this.opening = false;
    }

    reset() {
      if (this.running) python.end({ ended: STOPPED });
      this.view?.destroy();
      this.view = undefined;
      this.place.replaceChildren();
      this.output.replaceChildren();
      this.old(".cell_output, details.above-output", false);
      this.show(false);
      this.say("");
      this.open.focus();
    }

    run() {
      if (this.running || !this.view) return;
      this.busy(true);
      this.say("Waiting for another cell");
      queue = queue.then(() => this.view && this.through()).catch((error) => this.say(String(error))).finally(() => this.busy(false));
    }

    async through() {
      const { cells, raw, wire } = this.page;
      this.say(python.up ? "Running" : `Python comes first: ${MB(wire)} MB, once`);
      let last = performance.now();
      python.onload = (now) => {
        last = performance.now();
        const part = Math.min(1, now / raw);
        [this.bar.hidden, this.bar.value] = [false, part];
        this.amount.textContent = part < 1 ? `${MB(part * wire)} of ${MB(wire)} MB` : "starting";
      };
      const patience = setInterval(() => {
        if (performance.now() - last > 20000) this.say("Nothing has arrived for 20 seconds. Wait, or Stop and run again.");
      }, 5000);
      let result = await python.start(this.page);
      clearInterval(patience);
      python.onload = () => {};
      [this.bar.hidden, this.amount.textContent] = [true, ""];

      // first the cells above that this Python has not run as they stand now, and all after the first of them
      const source = (index) => boxes.get(index)?.source ?? cells[index].source;
      const above = [...cells.keys()].filter((index) => index < this.index && !cells[index].skip);
      const stale = above.findIndex((index) => python.ran.get(index) !== source(index));
      const todo = stale < 0 ? [] : above.slice(stale);
      for (const [n, index] of todo.entries()) {
        if (result.ended || result.says) break;
        this.say(`Running the cells above first: ${n + 1} of ${todo.length}`);
        result = await this.one(index, source(index));
        if (result.says) result.says = `Above, in ${cells[index].name}: ${result.says}`;
        if (result.says || result.ended) (this.clear(), this.fail(result));
      }
      const began = performance.now();
      if (!result.ended && !result.says) {
        this.say("Running");
        const long = setTimeout(() => this.say("Still running. Stop ends it, and with it all variables of this page."), 10000);
        result = await this.one(this.index, source(this.index));
        clearTimeout(long);
      }
      const took = `Done in ${((performance.now() - began) / 1000).toFixed(1)} s`;
      this.say(result.ended ?? (result.says ? `Error. ${result.says}` : took + (todo.length ? `, after ${todo.length} above` : "")));
    }

    // Run one cell; what it shows stands in its own box if that is open.
    async one(index, source) {
      const { cells } = this.page;
      const box = boxes.get(index)?.view ? boxes.get(index) : undefined;
      python.ran.delete(index);
      box?.clear();
      const result = await python.ask({ ask: "run", source, name: cells[index].name }, (kind, text) => box?.put(kind, text));
      if (result.says || result.ended) box?.fail(result);
      else python.ran.set(index, source);
      return result;
    }

    clear() {
      this.output.replaceChildren();
      this.old(".cell_output, details.above-output", true);
    }

    put(kind, text) {
      if (kind === "html") {
        const made = element("div", { className: "output text_html", innerHTML: text });
        this.output.append(made);
        for (const dials of made.querySelectorAll("[data-live]")) turn(dials);
        return;
      }
      const last = this.output.lastElementChild;
      const pre = last?.matches(".nc-text") ? last.querySelector("pre") : element("pre");
      if (!pre.isConnected) this.output.append(element("div", { className: "output stream highlight nc-text" }, pre));
      pre.append(text);
    }

    fail({ says, trace }) {
      if (!says) return;
      const lines = element("pre", { tabIndex: 0 }, trace);
      lines.setAttribute("role", "group");
      lines.setAttribute("aria-label", "Where it went wrong");
      this.output.append(element("div", { className: "nc-error" }, element("p", {}, says), lines));
    }
  }

  // Dials of a cell that ran: each picture is drawn when it is asked for.
  function turn(explorer) {
    const dials = [...explorer.querySelectorAll(".nc-dial")].map((dial) => {
      const range = dial.querySelector("input");
      if (range) {
        const labels = JSON.parse(range.dataset.labels);
        range.addEventListener("input", () => {
          dial.querySelector("output").value = labels[range.value];
          range.setAttribute("aria-valuetext", labels[range.value]);
          ask();
        });
        return () => Number(range.value);
      }
      const buttons = [...dial.querySelectorAll("button")];
      for (const button of buttons) {
        button.addEventListener("click", () => {
          for (const one of buttons) one.setAttribute("aria-pressed", String(one === button));
          ask();
        });
      }
      return () => buttons.findIndex((one) => one.matches('[aria-pressed="true"]'));
    });
    for (const control of explorer.querySelectorAll(".nc-dial :disabled")) control.disabled = false;
    explorer.dataset.alive = "";
    const now = () => dials.map((dial) => dial());
    const holder = explorer.querySelector(".nc-picture");
    const news = explorer.querySelector("[aria-live]");
    let asked = false;
    let timer = 0;
    const ask = async () => {
      if (asked || !python.worker) return;
      asked = true; // while one picture is drawn the dial may go on; then the last place counts
      const at = now();
      const { html, says } = await python.ask({ ask: "draw", key: explorer.dataset.live, at });
      asked = false;
      if (html) holder.innerHTML = html;
      if (says) holder.textContent = says;
      if (`${at}` !== `${now()}`) return ask();
      clearTimeout(timer);
      timer = setTimeout(() => (news.textContent = holder.querySelector("figcaption")?.textContent ?? ""), 500);
    };
  }

  let number = 0;
  for (const cell of document.querySelectorAll("div.cell")) {
    const mark = [...cell.classList].find((name) => name.startsWith("nc-cell-"));
    if (!mark) continue;
    const [, , index, torch] = mark.split("-");
    number += 1;
    if (torch) cell.querySelector(":scope > details.above-input, :scope > .cell_input")?.after(element("p", { className: "nc-no-run" }, SAY.torch));
    else new Box(cell, Number(index), number);
  }
})();
