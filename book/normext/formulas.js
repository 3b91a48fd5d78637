// TeX to HTML, one line of JSON in, one out: {tex, display} -> {html}. `null` asks for the style sheet.
// Started by formulas.py with the path of MathJax as it comes from npm.
const { init } = require(process.argv[2]);
const input = require("readline").createInterface({ input: process.stdin });

init({
  loader: { load: ["adaptors/liteDOM", "input/tex", "output/chtml", "a11y/assistive-mml"] },
  tex: { packages: { "[-]": ["noundefined", "noerrors"] }, formatError: (jax, error) => { throw error; } },
  chtml: { fontURL: process.argv[3], adaptiveCSS: false },
}).then(async (MathJax) => {
  const adaptor = MathJax.startup.adaptor;
  for await (const line of input) {
    const asked = JSON.parse(line);
    let answer;
    try {
      answer = asked
        ? { html: adaptor.outerHTML(await MathJax.tex2chtmlPromise(asked.tex, { display: asked.display })) }
        : { css: adaptor.textContent(MathJax.chtmlStylesheet()) };
    } catch (error) {
      answer = { error: error.message };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
});
