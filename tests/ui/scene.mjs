// What scenes are made of: how one is named, how a page is looked at, and what is asked of every screen.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

export const PICTURES = new URL('../../target/ui/', import.meta.url).pathname;
const AXE = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

/** Every scene by its name. */
export const scenes = new Map();
export const scene = (name, play, world = {}) => scenes.set(name, { play, world });

export const text = async (locator) => (await locator.innerText()).replaceAll(/\s+/g, ' ');
export const card = (page, approval) => page.locator(`[data-approval="${approval.id}"]`);

/** No fault that axe finds, nothing wider than the window, and on a phone nothing too small for a thumb. */
export async function fit(page, where) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const told = violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html + node.failureSummary).join('\n')}`);
  assert.deepEqual(told, [], where);
  // A phone makes its window as wide as what is in it: what counts is its glass.
  const window_ = page.viewportSize().width;
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= window_, `${where}: ${wide} wide in a window of ${window_}`);
  if (window_ > 640) return;
  const small = await page.evaluate(() =>
    [...document.querySelectorAll('button, nav a, summary, select, input:not([hidden])')]
      .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 37 && !one.closest('label.choice'))
      .map((one) => one.outerHTML),
  );
  assert.deepEqual(small, [], `${where}: too small for a thumb`);
}

/** Every size and both colours: `look` opens the page, `name` is for its pictures. */
export async function everywhere(world, windows, look) {
  for (const width of [1280, 390]) {
    for (const scheme of ['light', 'dark']) {
      const page = await windows.page(world, { width, scheme });
      await look(page, async (screen) => {
        await page.screenshot({ path: `${PICTURES}${screen}-${width}-${scheme}.png` });
        await fit(page, `${screen} ${width} ${scheme}`);
      });
      await page.context().close();
    }
  }
}
