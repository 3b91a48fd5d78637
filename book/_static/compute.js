// Dials that compute: once Python runs, values between the drawn ones, new batches, points to drag, a picture of one's own.
(() => {
  "use strict";

  const python = window.normcorePython; // of runner.js, where the cells of the page can run
  if (!python) return;
  const { Teller, element } = python;

  const button = (textContent, onclick) => element("button", { type: "button", textContent, onclick });
  const enable = (control, able) => control.setAttribute("aria-disabled", !able); // `disabled` would throw the focus away
  const able = (control) => control.getAttribute("aria-disabled") !== "true";
  const seen = (place) => {
    const { top, bottom } = place.getBoundingClientRect();
    return !document.hidden && bottom > 0 && top < innerHeight;
  };

  // What an explorer shows beside its drawn pictures: {clicks, points, image}, each as long as the reader wants it.
  function want(one, extra) {
    const all = { ...one.extra, ...extra };
    one.extra = Object.fromEntries(Object.entries(all).filter(([, value]) => value));
    one.changed?.();
    one.show();
  }

  // ---- an explorer of the page: its cell runs, after those above, and leaves dials in Python that this one asks

  function offer(box, index) {
    const one = window.normcoreDials.of(box);
    const teller = new Teller();
    const on = button("Compute with Python", start);
    const halt = button("Stop", () => python.stop(teller));
    const why = element("span", { className: "nc-amount", textContent: box.dataset.more });
    const row = element("div", { className: "nc-tools nc-compute" }, on, halt, why, ...teller.parts);
    one.holder.after(row);
    halt.hidden = true;

    async function start() {
      if (!able(on)) return;
      enable(on, false);
      [halt.hidden, why.hidden] = [false, true];
      const found = document.createElement("template");
      const show = (kind, text) => kind === "html" && (found.innerHTML += text);
      const result = await python.run(index, teller, show).catch((error) => ({ ended: String(error) }));
      const key = found.content.querySelector("[data-live]")?.dataset.live;
      const tools = key && (await compute(one, key, row, teller));
      enable(on, true);
      halt.hidden = true;
      if (!tools) {
        why.hidden = false;
        teller.say(result.ended ?? result.says ?? "This cell shows no dials now. Reset it, or reload the page.");
        return;
      }
      on.hidden = true;
      teller.say("Python draws now.");
      (row.querySelector("button:not([hidden])") ?? one.element.querySelector("input")).focus();
      python.onend(({ ended }) => {
        one.ask = one.placed = undefined;
        one.extra = {};
        one.dials.forEach((dial) => dial.finer?.());
        one.stand(one.places.map(Math.round));
        tools.forEach((tool) => tool.remove());
        [on.hidden, why.hidden] = [false, false];
        teller.say(ended);
      });
    }
  }

  // ---- an explorer in the output of a cell that ran: it has no drawn pictures

  window.normcoreCompute = async (box) => {
    const one = new window.normcoreDials.Explorer(box);
    const teller = new Teller();
    const row = element("div", { className: "nc-tools nc-compute" }, ...teller.parts);
    one.holder.after(row);
    await compute(one, box.dataset.live, row, teller);
    one.alive();
    python.onend(() => {
      one.ask = undefined;
      for (const control of box.querySelectorAll("input, button")) control.disabled = true;
    });
  };

  // Give an explorer what its plan in Python can do.  Returns the elements that this takes; none if Python has ended.
  async function compute(one, key, row, teller) {
    const can = await python.ask({ ask: "dials", key });
    if (can.ended) return undefined;
    one.ask = (at, extra) => python.ask({ ask: "draw", key, at, extra });
    one.dials.forEach((dial, at) => can.labels[at] && dial.finer(can.labels[at]));
    const tools = [];
    if (can.again) tools.push(...clicker(one, can.again));
    if (can.image) tools.push(...own(one, can.image, teller));
    if (can.again || can.image || can.points) tools.push(startOver(one));
    row.prepend(...tools);
    const strip = can.points && points(one, can.points);
    if (strip) {
      one.holder.before(strip.group);
      tools.push(strip.group);
      one.placed = async () => strip.write((await one.ask?.(one.places, {}))?.points); // those of a drawn picture
    }
    one.answered = (answer) => {
      if (answer.says || answer.ended) teller.say(answer.says ?? answer.ended);
      else if (teller.status.textContent.startsWith("Python")) teller.say("");
      if (strip && answer.points) strip.write(answer.points);
    };
    one.stand(one.wish); // it may be a place between
    await one.placed?.();
    return tools;
  }

  function startOver(one) {
    const over = button("Start over", () => able(over) && want(one, { clicks: 0, points: null, image: null }));
    one.changed = () => enable(over, Object.keys(one.extra).length);
    one.changed();
    return over;
  }

  // ---- again: one more with a click, or one after the other, and from twenty on a tenth more at a time

  function clicker(one, label) {
    let playing = false;
    const clicks = () => one.extra.clicks ?? 0;
    const play = button("Play", () => (playing ? pause() : go()));
    const more = button(label, () => (pause(), want(one, { clicks: clicks() + 1 })));

    function pause() {
      playing = false;
      play.textContent = "Play";
    }

    async function go() {
      playing = true;
      play.textContent = "Pause";
      while (playing) {
        const before = one.holder.firstElementChild.innerHTML;
        const rest = new Promise((done) => setTimeout(done, 250));
        want(one, { clicks: clicks() + Math.max(1, Math.floor((clicks() - 10) / 10)) });
        await one.computing;
        await rest;
        const ended = one.holder.firstElementChild.innerHTML === before || !one.extra.clicks;
        if (ended || !one.ask || !seen(one.holder)) pause();
      }
    }
    return [more, play];
  }

  // ---- points on a line: as many sliders on one track, of which only the thumbs can be touched

  function points(one, { ends: [low, high] }) {
    const track = element("div", { className: "nc-points" });
    const scale = element("div", { className: "nc-scale" });
    scale.setAttribute("aria-hidden", "true");
    scale.append(...[low, (low + high) / 2, high].map((end) => element("span", {}, String(end).replace("-", "−"))));
    const group = element("div", { className: "nc-dial" }, element("span", { className: "nc-label" }, "the points"), track, scale);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "the points");
    const ranges = () => [...track.children];
    const tell = (range) => range.setAttribute("aria-valuetext", range.value.replace("-", "−"));

    function point(_, at) {
      const range = element("input", { type: "range", min: low, max: high, step: 0.05 });
      range.setAttribute("aria-label", `point ${at + 1}`);
      range.addEventListener("input", () => {
        tell(range);
        want(one, { points: ranges().map((each) => Number(each.value)) });
      });
      return range;
    }

    function write(values) {
      if (!values || track.matches(":active")) return; // a point in somebody's hand is where the hand is
      if (values.length !== ranges().length) track.replaceChildren(...values.map(point));
      ranges().forEach((range, at) => ((range.value = values[at]), tell(range)));
    }
    return { group, write };
  }

  // ---- a picture of the reader's own, from a file or drawn with the finger; it never leaves the page

  function own(one, { size: [height, width], gray }, teller) {
    // The middle of a picture, made as small as the one whose place it takes.
    async function take(source, across, down) {
      const part = Math.min(across / width, down / height);
      const [w, h] = [part * width, part * height];
      const options = { resizeWidth: width, resizeHeight: height, resizeQuality: "high" };
      const small = await createImageBitmap(source, (across - w) / 2, (down - h) / 2, w, h, options);
      const context = element("canvas", { width, height }).getContext("2d");
      context.drawImage(small, 0, 0, width, height);
      want(one, { image: context.getImageData(0, 0, width, height).data });
    }

    const file = element("input", { type: "file", accept: "image/*", hidden: true });
    file.addEventListener("change", async () => {
      if (!file.files.length) return;
      try {
        const image = await createImageBitmap(file.files[0]);
        await take(image, image.width, image.height);
        teller.say("Your picture stays in this page. Nothing is sent anywhere.");
      } catch {
        teller.say("This browser cannot read that file as a picture. Try a JPEG or a PNG.");
      }
      file.value = "";
    });
    const tools = [button("Your own picture", () => file.click()), file];
    if (!gray) return tools;

    const across = 240;
    const pad = element("canvas", { width: across, height: Math.round((across * height) / width), className: "nc-pad", hidden: true });
    pad.setAttribute("role", "img");
    pad.setAttribute("aria-label", "A field to draw in, with a finger or a mouse");
    const pen = pad.getContext("2d", { willReadFrequently: true });
    const wipe = () => pen.fillRect(0, 0, pad.width, pad.height);
    const send = () => take(pad, pad.width, pad.height);
    Object.assign(pen, { lineWidth: across / 9, lineCap: "round", lineJoin: "round", strokeStyle: "white" });
    wipe();
    const at = (event) => {
      const box = pad.getBoundingClientRect();
      return [((event.clientX - box.left) * pad.width) / box.width, ((event.clientY - box.top) * pad.height) / box.height];
    };
    let drawing = false;
    const line = (event) => {
      if (!drawing) return;
      pen.lineTo(...at(event));
      pen.stroke();
    };
    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      drawing = true;
      if (!one.extra.image) wipe(); // what was drawn before Start over
      const [x, y] = at(event);
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(x + 0.1, y); // a tap is a dot; a line of no length is nothing
      pen.stroke();
    });
    pad.addEventListener("pointermove", line);
    for (const end of ["pointerup", "pointercancel"]) {
      pad.addEventListener(end, () => {
        if (drawing) send();
        drawing = false;
      });
    }
    const draw = button("Draw one", () => {
      pad.hidden = false;
      wipe();
      teller.say("Draw in the black field.");
    });
    return [...tools, draw, pad];
  }

  // when dials.js has run, too, wherever it stands among the scripts
  addEventListener("DOMContentLoaded", () => {
    for (const box of document.querySelectorAll(".nc-explore[data-more]")) {
      const mark = [...(box.closest("div.cell")?.classList ?? [])].find((name) => /^nc-cell-\d+$/.test(name));
      if (mark) offer(box, Number(mark.split("-")[2]));
    }
  });
})();
