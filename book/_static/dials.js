// Dials choose pictures. An explorer's own file calls normcoreDials(explorer, [picture, ...]).
// Where dials stand is in the page's address (#explore-1=4,1) and in its history, so a reload and the way back keep it.
window.normcoreDials = (() => {
  "use strict";

  const explorers = new Map(); // id: Explorer
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // ---- one dial: where it stands is 0, 1, … for its choices, and between them where Python draws

  function slider(dial, turned) {
    const range = dial.querySelector("input");
    const readout = dial.querySelector("output");
    const drawn = JSON.parse(range.dataset.labels);
    const last = drawn.length - 1;
    let labels = drawn;
    const write = () => {
      readout.value = labels[Math.round(range.value / range.step)];
      range.setAttribute("aria-valuetext", readout.value);
    };
    range.addEventListener("input", () => (write(), turned()));
    // A swipe that begins on the track turns the dial, until the browser takes it for scrolling and says so.
    let before = range.value;
    range.addEventListener("pointerdown", () => (before = range.value));
    range.addEventListener("pointercancel", () => {
      if (range.value !== before) [range.value = before, write(), turned()];
    });
    return {
      last,
      start: Number(range.defaultValue),
      get at() {
        return Number(Number(range.value).toFixed(2));
      },
      set at(place) {
        range.value = place;
        write();
      },
      // with more labels than choices it stops between these
      finer(more = drawn) {
        labels = more;
        range.step = last / (more.length - 1);
        write();
      },
    };
  }

  function buttons(dial, turned) {
    const all = [...dial.querySelectorAll("button")];
    const press = (chosen) => all.forEach((one, at) => one.setAttribute("aria-pressed", String(at === chosen)));
    const pressed = () => all.findIndex((one) => one.matches('[aria-pressed="true"]'));
    all.forEach((one, at) => one.addEventListener("click", () => (press(at), turned())));
    return {
      last: all.length - 1,
      start: pressed(),
      get at() {
        return pressed();
      },
      set at(place) {
        press(Math.round(place));
      },
    };
  }

  // ---- dials and their picture

  class Explorer {
    constructor(element) {
      this.element = element;
      this.holder = element.querySelector(".nc-picture");
      this.dials = [...element.querySelectorAll(".nc-dial")].map((dial) =>
        (dial.matches(".nc-slider") ? slider : buttons)(dial, () => this.turned()),
      );
      this.start = this.places = this.dials.map((dial) => dial.start);
      this.drawn = new Map([[this.index, this.holder.firstElementChild]]);
      this.extra = {}; // what only Python draws, beside places between: clicks, points, image
      // what a screen reader hears once the dial rests, so that a drag over ten values is one sentence
      this.news = document.createElement("div");
      this.news.className = "visually-hidden"; // Bootstrap, which the theme brings
      this.news.setAttribute("aria-live", "polite");
      element.append(this.news);
    }

    // Where they are to stand: an address may name a place between, for when Python draws.
    get wish() {
      return this.told ?? this.places;
    }

    get moved() {
      return `${this.wish}` !== `${this.start}`;
    }

    get index() {
      return this.dials.reduce((sum, dial, at) => sum * (dial.last + 1) + this.places[at], 0);
    }

    // Pictures that were drawn beforehand bring the dials to life; without them Python draws each.
    alive(pictures) {
      this.pictures = pictures;
      for (const control of this.element.querySelectorAll(".nc-dial :disabled")) control.disabled = false;
      this.element.dataset.alive = "";
      this.show();
    }

    turned() {
      this.places = this.dials.map((dial) => dial.at);
      this.told = undefined;
      rememberSoon();
      this.show();
    }

    stand(places) {
      this.told = places;
      places.forEach((place, at) => (this.dials[at].at = place));
      this.places = this.dials.map((dial) => dial.at);
      this.show();
    }

    // Places from an address, made to fit; undefined if they are none of these dials'.
    fit(places) {
      if (places?.length !== this.dials.length || !places.every(Number.isFinite)) return undefined;
      return places.map((place, at) => Math.min(this.dials[at].last, Math.max(0, place)));
    }

    get plain() {
      return Object.keys(this.extra).length === 0 && this.places.every(Number.isInteger);
    }

    get needsPython() {
      return !(this.plain && (this.pictures || this.drawn.has(this.index)));
    }

    show() {
      const link = this.element.querySelector(".nc-here");
      if (link) link.href = `#${this.element.id}=${this.wish}`;
      if (this.ask && this.needsPython) return void this.compute();
      if (this.pictures || this.drawn.has(this.index)) this.put(this.stored(this.index));
      this.placed?.();
    }

    stored(index) {
      if (!this.drawn.has(index)) this.drawn.set(index, made(this.pictures[index]));
      return this.drawn.get(index);
    }

    // While Python draws, the dials may go on; then it draws where they stand now.
    compute() {
      this.computing ??= this.draw().finally(() => (this.computing = undefined));
      return this.computing;
    }

    async draw() {
      let places, extra;
      while (this.ask && this.needsPython && (places !== this.places || extra !== this.extra)) {
        ({ places, extra } = this);
        const answer = await this.ask(places, extra);
        if (!this.ask || !this.needsPython) return;
        this.answered?.(answer);
        if (!answer.html) continue;
        const picture = made(answer.html);
        if (places === this.places && this.plain) this.drawn.set(this.index, picture);
        this.put(picture);
      }
    }

    // The old picture fades over the new one, unless the dial moves on before it is gone.
    put(picture) {
      const old = this.holder.firstElementChild;
      if (picture === old) return;
      // what stands below must not move when a caption takes one line more or less
      this.holder.style.minHeight = `${this.holder.offsetHeight}px`;
      const moving = this.leaving !== undefined;
      this.gone();
      this.holder.replaceChildren(picture);
      if (!moving && !still.matches) {
        old.classList.add("nc-leaving");
        old.setAttribute("aria-hidden", "true");
        this.holder.append(old);
        this.leaving = old;
      }
      clearTimeout(this.fading);
      this.fading = setTimeout(() => this.gone(), 160); // as dials.css
      this.say(picture.querySelector("figcaption")?.textContent.trim() ?? "");
    }

    gone() {
      this.leaving?.classList.remove("nc-leaving");
      this.leaving?.removeAttribute("aria-hidden");
      this.leaving?.remove();
      this.leaving = undefined;
    }

    say(text) {
      clearTimeout(this.saying);
      this.saying = setTimeout(() => (this.news.textContent = text), 500);
    }
  }

  function made(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  }

  // ---- where they stand, in the address and in the history

  // {id: places} of an address; any other anchor is none of ours
  const read = () => {
    const text = location.hash.slice(1).replace(/%3D/gi, "=").replace(/%26/g, "&"); // as some programs write it
    const found = [...new URLSearchParams(text)].filter(([name]) => explorers.has(name));
    return Object.fromEntries(found.map(([name, places]) => [name, places.split(",").map(parseFloat)]));
  };

  const keep = (address) => {
    const dials = Object.fromEntries([...explorers].map(([name, one]) => [name, one.wish]));
    history.replaceState({ ...history.state, dials }, "", address);
  };

  let timer = 0;
  function remember() {
    timer = clearTimeout(timer);
    const turned = [...explorers].filter(([, one]) => one.moved);
    if (turned.length) keep(`#${turned.map(([name, one]) => `${name}=${one.wish}`).join("&")}`);
    else keep(Object.keys(read()).length ? location.pathname + location.search : location.href);
  }

  function rememberSoon() {
    clearTimeout(timer);
    timer = setTimeout(remember, 300); // browsers refuse an address that changes all the time
  }
  addEventListener("pagehide", () => timer && remember());

  // An address sets the dials, and so do back and forward; who follows a link within the page takes them along.
  function restore() {
    const told = history.state?.dials ?? read();
    for (const [name, one] of explorers) {
      const places = one.fit(told[name]);
      if (places) one.stand(places);
    }
  }

  function arrive() {
    const [first] = history.state?.dials ? [] : Object.keys(read());
    if (first) document.getElementById(first).scrollIntoView({ behavior: "instant" });
  }

  addEventListener("popstate", () => {
    restore();
    arrive();
    if (explorers.size && !history.state?.dials) keep(location.href);
  });
  // A browser may have put controls back by itself, or cleared them: what they say is what is shown.
  addEventListener("pageshow", () => explorers.forEach((one) => one.stand(one.wish)));

  async function copy(event) {
    event.preventDefault();
    const link = event.currentTarget;
    remember();
    try {
      await navigator.clipboard.writeText(link.href);
      link.textContent = "Link copied";
    } catch {
      history.replaceState(history.state, "", link.href); // no clipboard here
      link.textContent = "The link is in the address bar";
    }
    explorers.get(link.closest(".nc-explore").id).say(link.textContent);
    setTimeout(() => (link.textContent = "Link to this position"), 3000);
  }

  for (const element of document.querySelectorAll(".nc-explore[id]")) explorers.set(element.id, new Explorer(element));
  for (const link of document.querySelectorAll(".nc-here")) link.addEventListener("click", copy);
  addEventListener("resize", () => explorers.forEach((one) => (one.holder.style.minHeight = "")));
  restore();

  // ---- the pictures (up to 0.3 MB) of an explorer come when it is in the window, or when its dials stand elsewhere; once
  // the reader does anything, when it is near; and all of them when somebody is on the way by keyboard

  addEventListener("load", () => {
    const waiting = new Set(document.querySelectorAll(".nc-explore[data-pictures]"));
    let observer;

    const fetchPictures = (explorer) => {
      observer?.unobserve(explorer);
      waiting.delete(explorer);
      const script = document.createElement("script");
      script.src = explorer.dataset.pictures;
      script.addEventListener("error", () => {
        const note = document.createElement("p");
        note.className = "nc-note";
        note.textContent =
          "The other pictures did not arrive, so the dials stay where they are. Reload the page to try again.";
        explorer.querySelector(".nc-picture").before(note);
        const one = explorers.get(explorer.id);
        one.stand(one.start);
      });
      document.head.append(script);
      explorer.removeAttribute("data-pictures");
    };

    const watch = (margin) => {
      observer?.disconnect();
      observer = new IntersectionObserver(
        (seen) => seen.filter((one) => one.isIntersecting).forEach((one) => fetchPictures(one.target)),
        { rootMargin: `${margin}px 0px` },
      );
      waiting.forEach((explorer) => observer.observe(explorer));
    };
    for (const one of explorers.values()) if (one.moved) fetchPictures(one.element);
    watch(0);
    arrive();
    const awake = new AbortController();
    for (const sign of ["scroll", "pointermove", "pointerdown"]) {
      const near = () => (awake.abort(), watch(600));
      addEventListener(sign, near, { passive: true, signal: awake.signal });
    }
    addEventListener("keydown", () => waiting.forEach(fetchPictures), { once: true });
  });

  const arrived = (name, pictures) => explorers.get(name).alive(pictures);
  return Object.assign(arrived, { Explorer, restore, of: (element) => explorers.get(element.id) });
})();
