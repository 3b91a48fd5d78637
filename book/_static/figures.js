// A figure to take along, as SVG or PNG: the picture on white, its caption, its license, and a link to the cell that drew
// it. It is made from what the page shows, so a dial's picture is the one that is chosen.
(() => {
  "use strict";

  const LICENSE = "CC BY 4.0";
  const TERMS = "https://creativecommons.org/licenses/by/4.0/";
  const FONT = new URL("fonts/sans.woff2", document.currentScript.src);
  const FAMILY = "Normcore Sans";
  const INK = "#1d2733";
  const SMALL = 9.5;
  const LARGE = 1.5; // pixels of the SVG to a point of the picture
  const SHARP = 3; // pixels of the PNG to a point of the picture

  const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

  const lines = (text, width) => {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${SMALL}px "${FAMILY}", sans-serif`;
    const found = [];
    for (const word of text.split(" ").filter(Boolean)) {
      const longer = found.length ? `${found.at(-1)} ${word}` : word;
      if (found.length && pen.measureText(longer).width <= width) found[found.length - 1] = longer;
      else found.push(word);
    }
    return found;
  };

  const source = (figure) => {
    const cell = figure.closest(".cell[id]");
    const page = (document.querySelector('link[rel="canonical"]')?.href ?? location.href).split("#")[0];
    return cell ? `${page}#${cell.id}` : page;
  };

  const asData = (blob) =>
    new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(blob);
    });

  const typeface = async () => {
    try {
      const data = await asData(await (await fetch(FONT)).blob());
      return `@font-face{font-family:"${FAMILY}";src:url("${data}") format("woff2")}`;
    } catch {
      return ""; // a page opened from a folder may not read it: the reader's own sans takes its place
    }
  };

  // some browsers let no page read what a canvas shows, and hand out noise
  const readable = () => {
    const pen = document.createElement("canvas").getContext("2d");
    pen.fillStyle = "#123456";
    pen.fillRect(0, 0, 9, 9);
    return pen.getImageData(0, 0, 9, 9).data.every((value, i) => value === [0x12, 0x34, 0x56, 0xff][i % 4]);
  };

  // the photos of a page are WebP, which few programs that draw with SVG can read
  const asPng = async (image) => {
    const photo = new Image();
    photo.src = image.getAttribute("xlink:href");
    await photo.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: photo.width, height: photo.height });
    canvas.getContext("2d").drawImage(photo, 0, 0);
    image.setAttribute("xlink:href", canvas.toDataURL());
  };

  const alone = async (figure) => {
    const shown = figure.querySelector("svg");
    const [, , width, height] = shown.getAttribute("viewBox").split(" ").map(Number);
    const title = escaped(document.querySelector("h1 .headerlink").previousSibling.textContent.trim());
    const caption = figure.querySelector("figcaption")?.textContent ?? "";
    const link = escaped(source(figure));
    const below = [...lines(caption, width - 16).map(escaped), `Normcore, ${title}. ${LICENSE}.`, link];
    const line = 1.4 * SMALL;
    const whole = height + below.length * line + 16;
    const inner = shown.cloneNode(true);
    for (const name of ["style", "role", "aria-label"]) inner.removeAttribute(name);
    if (readable()) await Promise.all([...inner.querySelectorAll("image")].map(asPng));
    inner.setAttribute("width", width);
    inner.setAttribute("height", height);
    const written = below.map((text, i) => `<text x="8" y="${height + 8 + (i + 0.8) * line}">${text}</text>`);
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${whole}" width="${width * LARGE}"
  height="${whole * LARGE}" color="${INK}" fill="${INK}" font-family="'${FAMILY}', sans-serif" font-size="${SMALL}"
  style="font-kerning: none; stroke-linejoin: round">
<title>${title}</title>
<desc>${escaped(shown.getAttribute("aria-label"))}</desc>
<metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cc="http://creativecommons.org/ns#"
  xmlns:dc="http://purl.org/dc/elements/1.1/"><cc:Work rdf:about=""><dc:title>${title}</dc:title>
  <dc:description>${escaped(caption)}</dc:description><dc:source>${link}</dc:source>
  <cc:license rdf:resource="${TERMS}"/></cc:Work></rdf:RDF></metadata>
<style>${await typeface()}</style>
<rect width="100%" height="100%" fill="white"/>
<g fill="black">${new XMLSerializer().serializeToString(inner)}</g>
${written.join("")}
</svg>
`;
  };

  const painted = async (svg) => {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = (image.width / LARGE) * SHARP;
    canvas.height = (image.height / LARGE) * SHARP;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  };

  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.(".nc-take button");
    if (!button) return;
    const dials = button.closest(".nc-explore");
    const figure = dials ? dials.querySelector(".nc-figure") : button.closest("p").previousElementSibling;
    const all = [...document.querySelectorAll(".nc-take")];
    const page = location.pathname.split("/").at(-1).replace(/\.html$/, "") || "index";
    const name = `normcore-${page}-${all.indexOf(button.parentElement) + 1}`;
    const svg = await alone(figure);
    if (button.value === "svg" || !readable()) save(new Blob([svg], { type: "image/svg+xml" }), `${name}.svg`);
    else save(await painted(svg), `${name}.png`);
  });
})();
