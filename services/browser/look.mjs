// Opens a page in Chromium, in light and in dark, wide and narrow, and prints as JSON what is to be seen.
//
//     node look.mjs PAGE.html PICTURES
//
// A picture of each goes into the folder PICTURES. Run in the folder of the installation, where its packages are found.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(join(process.cwd(), 'look.mjs'));
const load = async (name) => (await import(pathToFileURL(require.resolve(name)).href)).default;
const chromium = await load('@sparticuz/chromium');
const puppeteer = await load('puppeteer-core');

const [page_file, pictures] = process.argv.slice(2);
const browser = await puppeteer.launch({
  args: chromium.args,
  executablePath: await chromium.executablePath(),
  headless: 'shell',
});

// In the page.
function seen() {
  const box = (element) => {
    const { width, height } = element.getBoundingClientRect();
    return { width, height };
  };
  const style = getComputedStyle(document.body);
  return {
    title: document.title,
    text: document.body.innerText,
    ink: style.color,
    paper: style.backgroundColor,
    // What stands out to the right can't be read on a small screen.
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    charts: [...document.querySelectorAll('svg')].map((chart) => ({
      name: chart.getAttribute('aria-label'),
      ...box(chart),
      lines: [...chart.querySelectorAll('.line')].map((line) => ({
        ...box(line),
        length: line.getTotalLength(),
        color: getComputedStyle(line).stroke,
      })),
      outside: [...chart.querySelectorAll('path, circle')].filter((mark) => {
        const [inner, outer] = [mark.getBoundingClientRect(), chart.getBoundingClientRect()];
        return inner.left < outer.left - 8 || inner.right > outer.right + 8 || inner.top < outer.top - 8
          || inner.bottom > outer.bottom + 8;
      }).length,
    })),
  };
}

const looks = [];
for (const scheme of ['light', 'dark']) {
  for (const width of [1100, 390]) {
    const page = await browser.newPage();
    const [requests, errors] = [[], []];
    page.on('request', (request) => requests.push(request.url()));
    page.on('console', (message) => errors.push(message.text()));
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.setViewport({ width, height: 900 });
    await page.goto(pathToFileURL(page_file).href);
    looks.push({ scheme, width, requests, errors, ...(await page.evaluate(seen)) });
    await page.screenshot({ path: join(pictures, `${scheme}-${width}.png`), fullPage: true });
    await page.close();
  }
}
console.log(JSON.stringify({ browser: await browser.version(), looks }));
await browser.close();
