// Scenes of the fleet: every session by state, found, sorted, followed, and ten thousand of them.
import assert from 'node:assert/strict';
import { PICTURES, everywhere, fit, scene, text } from './scene.mjs';
import { Peer } from './peer.mjs';
import { FLEET } from './stage.mjs';
import { TOKEN, eventually } from './world.mjs';

const row = (page, session) => page.locator(`tr[data-session="${session}"]`);
const shown = (page) => page.locator('tr.row').evaluateAll((rows) => rows.map((one) => one.dataset.session));

scene('the fleet says what each session does, why it waits and since when, and moves as they move', async ({ world, windows }) => {
  const page = await windows.page(world, { path: 'fleet' });
  await page.getByText('There is no session yet.').waitFor();
  const asks = await world.session('say hm; ask rm -rf build; say done', { node: 'web-1' });
  await row(page, asks).getByText('needs you').waitFor();
  assert.match(await text(row(page, asks)), /rm -rf build shop web-1/);
  const runs = await world.session('cost 0.25; done first; run 600', { node: 'web-2' });
  const fails = await world.session('fail the provider is gone', { node: 'web-1' });
  await row(page, fails).getByText('EchoError: the provider is gone').waitFor();
  await row(page, runs).getByText('$0.25').waitFor();
  await eventually('they stand by state', async () => (await shown(page)).join() === [asks, runs, fails].join());
  const [ask] = await world.get(`approvals?session_id=${asks}`);
  const since = await row(page, asks).locator('time').getAttribute('datetime');
  assert.equal(since, (await world.get(`sessions/${asks}`)).asks[0].since, 'since it waits, and not since the turn began');
  await world.post(`approvals/${ask.id}/answer`, { reply: 'once' });
  await row(page, asks).getByText('idle').waitFor();
  await page.getByRole('button', { name: /^running 1/ }).click();
  await eventually('only that one is left', async () => (await shown(page)).join() === runs);
  assert.equal(new URL(page.url()).search, '?status=running');
  assert.match(await text(page.locator('.terminal')), /At a terminal/);
  world.agents.get('web-2').kill('SIGKILL');
  await page.getByText('No session matches.').waitFor();
  await page.getByRole('button', { name: 'Show all' }).click();
  await row(page, runs).getByText('unreachable, was running').waitFor();
}, { nodes: ['web-1', 'web-2'] });

scene('filters are in the address, survive a reload, and keys walk through the list into a session', async ({ world, windows }) => {
  for (const no of [1, 2, 3]) await world.session(`say ${no}; run 600`, { node: 'web-1' });
  const other = await world.session('run 600', { node: 'web-2' });
  const eve = await world.user('eve', 'viewer');
  const page = await windows.page(world, { path: 'fleet?node=web-2', token: eve });
  await eventually('one is there', async () => (await shown(page)).join() === other);
  await page.getByRole('combobox', { name: 'node' }).selectOption('');
  await eventually('all are there', async () => (await shown(page)).length === 4);
  await page.keyboard.press('Escape');
  await page.locator('h1').focus();
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.name), 'q');
  await page.keyboard.type(other.slice(-12));
  await eventually('the one that was searched for', async () => (await shown(page)).join() === other);
  await page.reload();
  await eventually('still', async () => (await shown(page)).join() === other);
  assert.equal(await page.locator('input[name=q]').inputValue(), other.slice(-12));
  await page.getByLabel('Search').fill('');
  await eventually('all again', async () => (await shown(page)).length === 4);
  await page.locator('h1').focus();
  await page.keyboard.press('j');
  const first = await page.evaluate(() => document.activeElement.closest('tr').dataset.session);
  assert.equal(first, (await shown(page))[0]);
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  assert.equal(await page.evaluate(() => document.activeElement.closest('tr').dataset.session), first);
  await page.keyboard.press('Enter');
  await eventually('its own address', () => page.url() === `${world.url}sessions/${encodeURIComponent(first)}`);
}, { nodes: ['web-1', 'web-2'] });

scene('a supervisor that is killed and comes back: what stood there stays, is said to be old, and then moves on', async ({ world, windows }) => {
  const before = await world.session('run 600');
  const page = await windows.page(world, { path: 'fleet' });
  const nodes = await windows.page(world, { path: 'nodes/web-1' });
  await row(page, before).getByText('running').waitFor();
  await nodes.getByRole('button', { name: 'Revoke…' }).waitFor();
  await world.killSupervisor();
  await page.locator('.banner.lost').waitFor();
  assert.match(await text(page.locator('.banner.lost')), /What you see is as of/);
  assert.ok(await row(page, before).isVisible(), 'an empty list would be a lie');
  await nodes.locator('.banner.lost').waitFor();
  assert.ok(await nodes.getByRole('button', { name: 'Revoke…' }).isDisabled(), 'nothing is kept to be sent later');
  await world.startSupervisor();
  await page.locator('.state.live').waitFor({ timeout: 40_000 });
  await eventually('web-1 is back', async () => (await world.get('nodes/web-1')).status === 'online');
  const after = await world.session('run 600');
  await row(page, after).getByText('running').waitFor();
  assert.equal(await row(page, before).count(), 1);
  await nodes.locator('[data-node="web-1"]').getByText('● online').waitFor();
});

scene('a right that is taken away while the fleet is shown: the page is logged out, and shows nothing of it', async ({ world, windows }) => {
  const session = await world.session('run 600');
  const page = await windows.page(world, { path: 'fleet', token: await world.user('ada', 'viewer') });
  await row(page, session).waitFor();
  await world.api('DELETE', 'actors/ada');
  await page.getByLabel('Token', { exact: true }).waitFor();
  assert.equal(await page.getByText(session).count(), 0);
});

scene('titles of sessions are text, whatever is in them, and no row grows by them', async ({ world, windows }) => {
  const page = await windows.page(world, { path: 'fleet', width: 390 });
  const titles = ['<img src=x onerror=alert(1)>', 'a\u202eb\u200bc', 'y'.repeat(10_000)];
  for (const title of titles) {
    await world.post('commands', { type: 'create_session', project: 'shop', args: { prompt: 'ask <script>alert(2)</script>', title } });
  }
  await eventually('all are there', async () => (await shown(page)).length === 3);
  assert.equal(await page.getByText('<img src=x onerror=alert(1)>').count(), 1);
  assert.equal(await page.locator('main :is(script, img)').count(), 0);
  assert.ok((await page.getByText('RLO').count()) > 0);
  const heights = await page.locator('tr.row').evaluateAll((rows) => rows.map((one) => one.getBoundingClientRect().height));
  assert.ok(heights.every((height) => height < 90), heights.join());
  await page.setViewportSize({ width: 320, height: 700 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320));
});

scene('ten thousand sessions: few rows are in the page, the last is reached, and a change is seen soon', async ({ world, windows }) => {
  const many = Number(process.env.HAL_UI_SESSIONS ?? 10_000);
  const peer = await Peer.join(world, 'web-9');
  const began_ = Date.now();
  await peer.tell(Array.from({ length: many }, (_, no) => [`ses_${no}`, 'session.created', { info: { id: `ses_${no}`, title: `Session number ${no}`, directory: '/srv/shop' } }]));
  console.log(`  ${many} sessions are stored in ${Date.now() - began_} ms`);
  const page = await windows.page(world, { path: 'fleet' });
  await page.locator('tr.row').first().waitFor();
  await eventually('the count', async () => new RegExp(`idle ?${many.toLocaleString('en-GB')}`).test(await text(page.locator('.chips'))));
  assert.ok((await page.locator('tr.row').count()) < 120);
  await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
  const last = page.locator(`tr[aria-rowindex="${many + 1}"]`);
  await last.waitFor();
  assert.match(await text(last), /unknown$/, 'what nobody knows is no zero');
  assert.ok(await last.evaluate((one) => one.getBoundingClientRect().bottom <= window.innerHeight + 300));
  assert.ok((await page.locator('tr.row').count()) < 120);
  await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight / 2));
  await eventually('the middle is filled', async () => {
    const tops = await page.locator('tr.row').evaluateAll((rows) => rows.map((one) => one.getBoundingClientRect().top));
    return tops.some((top) => top < 100) && tops.some((top) => top > 700);
  });
  await page.evaluate(() => window.scrollTo(0, 0));
  const began = Date.now();
  const asks = await world.session('ask make', { node: 'web-1' });
  await row(page, asks).getByText('needs you').waitFor();
  const took = Date.now() - began;
  console.log(`  from the call that starts it to its row, among ${many} sessions: ${took} ms`);
  assert.ok(took < 3_000, `${took} ms`);
  await page.getByLabel('Search').fill(asks.slice(-10));
  await eventually('it is found', async () => (await shown(page)).join() === asks);
  peer.end();
});

scene('a thousand events a second: a tab gets what is in view, a few times a second, and stays quick', async ({ world, windows }) => {
  const peer = await Peer.join(world, 'web-9');
  const many = 2_000;
  await peer.tell(Array.from({ length: many }, (_, no) => [[`ses_${no}`, 'session.created', { info: { id: `ses_${no}`, title: `Session number ${no}`, directory: '/srv/shop' } }], [`ses_${no}`, 'session.status', { status: { type: 'busy' } }]]).flat());
  const context = await windows.context(world);
  const page = await context.newPage();
  let [bytes, frames] = [0, 0];
  page.on('websocket', (socket) =>
    socket.on('framereceived', ({ payload }) => {
      bytes += payload.length;
      frames += 1;
    }),
  );
  await context.request.post(`${world.url}api/v1/login`, { data: { token: TOKEN }, headers: { Origin: new URL(world.url).origin } });
  await page.goto(`${world.url}fleet`);
  await page.locator('tr.row').first().waitFor();
  await page.mouse.move(5, 5);
  const usage = (no) => [`ses_${no % many}`, 'message.updated', { info: { id: `msg_${no}`, role: 'assistant', providerID: 'acme', modelID: 'm', cost: 0.01, tokens: { input: 10, output: 5, reasoning: 0, cache: { read: 0, write: 0 } }, finish: 'stop', time: { created: Date.now(), completed: Date.now() } } }];
  [bytes, frames] = [0, 0];
  const began = Date.now();
  let no = 0;
  for (let second = 1; second <= 8; second += 1) {
    await peer.tell(Array.from({ length: 1_000 }, () => usage((no += 7))));
    await eventually('the second is over', () => Date.now() >= began + second * 1_000);
  }
  const seconds = (Date.now() - began) / 1_000;
  console.log(`  ${Math.round(no / 7 / seconds)} events/s: ${(bytes / seconds / 1_000).toFixed(1)} kB/s and ${(frames / seconds).toFixed(1)} frames/s to the tab`);
  assert.ok(bytes / seconds < 100_000 && frames / seconds < 20, `${bytes} bytes and ${frames} frames in ${seconds} s`);
  const session = await world.session('ask make', { node: 'web-1' });
  await row(page, session).getByText('needs you').waitFor();
  peer.end();
});

scene('the fleet is fit for everybody, by day and by night, on a desk and on a phone', async ({ world, windows }) => {
  const peer = await Peer.join(world, 'build-1');
  await peer.tell(FLEET);
  await everywhere(world, windows, async (page, look) => {
    await page.goto(`${world.url}fleet`);
    await eventually('all are there', async () => (await shown(page)).length === 7);
    await look('fleet');
    await page.getByRole('button', { name: /^running/ }).click();
    await eventually('three', async () => (await shown(page)).length === 3);
    await page.locator('.terminal > summary').click();
    await fit(page, 'fleet, filtered');
    if (page.viewportSize().width < 640) {
      await page.getByText('More', { exact: true }).click();
      await fit(page, 'fleet, with the menu');
      await page.screenshot({ path: `${PICTURES}menu-phone.png` });
    }
  });
  peer.end();
}, { nodes: [] });
