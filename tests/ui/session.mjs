// Scenes of a session: its conversation, what is done to it, and what became of that.
import assert from 'node:assert/strict';
import { everywhere, fit, scene, text } from './scene.mjs';
import { Peer } from './peer.mjs';
import { CONVERSATION } from './stage.mjs';
import { eventually } from './world.mjs';

const at = (session) => `sessions/${encodeURIComponent(session)}`;
const said = (page, words) => page.locator('.said.assistant', { hasText: words });
const sent = (page, word) => page.locator('.command', { hasText: word }).last();
const write = async (page, words) => {
  await page.getByLabel('Prompt', { exact: true }).fill(words);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
};

scene('a conversation is read, answered in place, gone on with, and each step is ticked when it was seen', async ({ world, windows }) => {
  const session = await world.session('say hello there; bad make test; ask rm -rf build; say all done');
  const page = await windows.page(world, { path: at(session) });
  await said(page, 'hello there').waitFor();
  assert.match(await text(page.locator('.said.user').first()), /user .*say hello there; bad make test/);
  const tool = page.locator('details.tool', { hasText: 'make test' });
  assert.equal(await tool.locator('pre').count(), 0, 'a tool is folded');
  await tool.locator('summary').click();
  await tool.getByText('exit code').waitFor();
  await page.locator('.card').getByRole('button', { name: 'Allow once' }).click();
  await said(page, 'all done').waitFor();
  await eventually('the card is gone', async () => (await page.locator('.card').count()) === 0);
  await write(page, 'say a second turn; cost 0.5');
  await sent(page, 'Prompt').getByText('✓ done').waitFor();
  assert.match(await text(sent(page, 'Prompt')), /✓ sent ✓ accepted ✓ done/);
  await said(page, 'a second turn').waitFor();
  await page.locator('.about', { hasText: '$0.50' }).waitFor();
  // A draft outlives the page.
  await page.getByLabel('Prompt', { exact: true }).fill('say not yet');
  await page.reload();
  await said(page, 'all done').waitFor();
  assert.equal(await page.getByLabel('Prompt', { exact: true }).inputValue(), 'say not yet');
  assert.match(await page.title(), /^say hello there/);
  await page.locator('h1').focus();
  await page.keyboard.press('i');
  assert.equal(await page.evaluate(() => document.activeElement.name), 'prompt');
  await page.keyboard.press('Control+Enter');
  await said(page, 'not yet').waitFor();
  await eventually('what was taken is no draft', async () => (await page.getByLabel('Prompt', { exact: true }).inputValue()) === '');
});

scene('a turn is aborted, a session is paused, resumed and killed, each after a question, and by keyboard', async ({ world, windows }) => {
  const session = await world.session('run 600');
  const page = await windows.page(world, { path: at(session) });
  const act = async (word) => {
    await page.getByRole('button', { name: `${word}…` }).click();
    await page.getByRole('button', { name: `${word} now` }).focus();
    await page.keyboard.press('Enter');
  };
  await act('Abort turn');
  await sent(page, 'Abort turn').getByText('✓ done').waitFor();
  await page.locator('.session-head .pill', { hasText: 'running' }).waitFor({ state: 'detached' });
  await act('Pause');
  await page.locator('.session-head', { hasText: 'paused by' }).waitFor();
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.locator('.session-head', { hasText: 'paused by' }).waitFor({ state: 'detached' });
  await act('Kill');
  await page.locator('.session-head .pill', { hasText: 'ended' }).waitFor();
  await page.getByRole('button', { name: 'Kill…' }).waitFor({ state: 'detached' });
  const done = (await world.get('audit?limit=50')).filter((record) => record.through === 'dashboard').map((record) => record.action);
  for (const action of ['abort_session', 'pause_session', 'release_session', 'kill_session']) assert.ok(done.includes(action), `${action}: ${done}`);
});

scene('what a role may not do is not offered, and a right that is taken away is refused in words', async ({ world, windows }) => {
  const session = await world.session('run 600');
  const eve = await windows.page(world, { path: at(session), token: await world.user('eve', 'viewer') });
  await eve.getByText('Prompting takes the role operator; yours is viewer.').waitFor();
  await eve.getByText(/Kill takes the role approver/).waitFor();
  assert.equal(await eve.locator('main :is(textarea, [data-act])').count(), 0);
  const bob = await windows.page(world, { path: at(session), token: await world.user('bob', 'approver') });
  await bob.getByRole('button', { name: 'Abort turn…' }).waitFor();
  assert.equal(await bob.locator('.composer textarea').count(), 0);
  const ada = await windows.page(world, { path: at(session), token: await world.user('ada', 'operator') });
  await ada.getByLabel('Prompt', { exact: true }).fill('say hm');
  await ada.route('**/api/v1/commands', async (route) => {
    await world.api('PUT', 'actors/ada', { role: 'approver' });
    await route.continue();
  });
  await ada.getByRole('button', { name: 'Send', exact: true }).click();
  // Either the refusal is read, or the page has been logged out by then and says so.
  await ada.locator('.command.refused, form[action] , .login').first().waitFor();
  const none = await windows.page(world, { path: 'sessions/ses_nothing' });
  await none.getByText('There is no session ses_nothing.').waitFor();
});

scene('a supervisor that is killed under a prompt: nobody claims that it arrived, and sent again it is done once', async ({ world, windows }) => {
  const session = await world.session('say hello');
  const page = await windows.page(world, { path: at(session) });
  await said(page, 'hello').first().waitFor();
  await page.route('**/api/v1/commands', async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    await route.fetch();
    await world.killSupervisor();
    await route.abort();
  });
  await write(page, 'say exactly once');
  await sent(page, 'Prompt').getByText('whether it arrived is not known').waitFor();
  assert.equal(await page.getByLabel('Prompt', { exact: true }).inputValue(), 'say exactly once', 'the draft stays');
  await page.unroute('**/api/v1/commands');
  assert.ok(await page.getByRole('button', { name: 'Send it again' }).isDisabled());
  await world.startSupervisor();
  await page.locator('.state.live').waitFor({ timeout: 40_000 });
  await page.getByRole('button', { name: 'Send it again' }).click();
  await sent(page, 'Prompt').getByText('✓ done').waitFor();
  await eventually('what was taken is no draft any more', async () => (await page.getByLabel('Prompt', { exact: true }).inputValue()) === '');
  const its = (await world.get(`commands?session_id=${session}`)).filter((one) => one.type === 'prompt_session');
  assert.equal(its.length, 1);
  await said(page, 'exactly once').waitFor();
  assert.equal(await said(page, 'exactly once').count(), 1);
});

scene('words are shown as they are written, and stay once when they are stored; what is hostile is text', async ({ world, windows }) => {
  const peer = await Peer.join(world, 'web-9');
  const part = (id, words, more = {}) => ['ses_1', 'message.part.updated', { part: { id, messageID: 'msg_1', type: 'text', text: words, ...more } }];
  await peer.tell([['ses_1', 'session.created', { info: { id: 'ses_1', title: '<b>bold</b>', directory: '/srv/shop' } }], ['ses_1', 'session.status', { status: { type: 'busy' } }]]);
  const page = await windows.page(world, { path: at('ses_1') });
  await page.getByText('session started in').waitFor();
  const words = ['One ', 'two ', 'three'];
  const delta = (text) => peer.say('live', { session_id: 'ses_1', type: 'message.part.delta', data: { sessionID: 'ses_1', messageID: 'msg_1', partID: 'prt_1', field: 'text', delta: text } });
  await eventually('it is watched, and the first word comes', async () => {
    delta('One ');
    return (await page.locator('.said .caret').count()) === 1;
  });
  for (const word of words.slice(1)) delta(word);
  await said(page, /two three/).waitFor();
  await peer.tell([part('prt_1', 'One two three')]);
  await page.locator('.caret').waitFor({ state: 'detached' });
  assert.equal(await said(page, 'One two three').count(), 1);
  const evil = 'see <img src=x onerror=alert(1)> \u202egpj\u200b\n```js\n<script>alert(2)</script>\n```\n[x](javascript:alert(3))';
  await peer.tell([part('prt_2', evil), part('prt_3', `${'z'.repeat(1_000_000)}END`)]);
  await page.locator('.said pre', { hasText: '<script>alert(2)</script>' }).waitFor();
  await page.getByText(/characters are not shown here/).waitFor();
  assert.equal(await page.locator('main :is(img, script, a[href^="javascript"])').count(), 0);
  assert.ok((await page.locator('.hidden-char', { hasText: 'RLO' }).count()) > 0);
  await page.setViewportSize({ width: 320, height: 700 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320), 'nothing is wider than the window');
  peer.end();
});

scene('ten thousand events: the end is there soon, what was before comes by pages, and nothing jumps', async ({ world, windows }) => {
  const peer = await Peer.join(world, 'web-9');
  const message = (no) => [
    ['ses_1', 'message.updated', { info: { id: `msg_${no}`, role: no % 10 === 0 ? 'user' : 'assistant' } }],
    ['ses_1', 'message.part.updated', { part: { id: `prt_${no}`, messageID: `msg_${no}`, type: 'text', text: `message number ${no}.` } }],
  ];
  await peer.tell([['ses_1', 'session.created', { info: { id: 'ses_1', title: 'A long one', directory: '/srv/shop' } }], ...Array.from({ length: 5_000 }, (_, no) => message(no)).flat()]);
  const began = Date.now();
  const page = await windows.page(world, { path: at('ses_1') });
  await said(page, 'message number 4999.').waitFor();
  console.log(`  from the address to its end: ${Date.now() - began} ms`);
  assert.ok(await said(page, 'message number 4999.').evaluate((one) => one.getBoundingClientRect().bottom < window.innerHeight), 'the end is in view');
  const first = () => page.locator('.said .prose').first().textContent();
  await page.evaluate(() => window.scrollTo(0, 0));
  const before = await first();
  const where = () => page.locator('.said', { hasText: before }).first().evaluate((one) => one.getBoundingClientRect().top);
  const top = await where();
  await page.getByRole('button', { name: 'Show what was before' }).click();
  await eventually('an earlier page', async () => (await first()) !== before);
  await eventually('it stays where it was', async () => Math.abs((await where()) - top) < 60);
  for (let no = 0; no < 11; no += 1) {
    const known = await first();
    await page.getByRole('button', { name: 'Show what was before' }).click();
    await eventually('and another', async () => (await first()) !== known);
  }
  assert.ok((await page.locator('.entries > *').count()) <= 1_500);
  await page.getByRole('button', { name: /To the latest/ }).click();
  await said(page, 'message number 4999.').waitFor();
  await peer.tell(message(5_001));
  await said(page, 'message number 5001.').waitFor();
  peer.end();
});

scene('where more wait than Needs you can show, a session still shows what it waits for itself', async ({ world, windows }) => {
  const sessions = await Promise.all(Array.from({ length: 104 }, (_, no) => world.session(`ask make ${no}`)));
  await eventually('all of them wait', async () => (await world.api('GET', 'sessions?status=waiting&limit=1')).meta.total === sessions.length);
  const all = (await world.get('approvals?limit=200')).toSorted((one, other) => other.asked_at.localeCompare(one.asked_at));
  const page = await windows.page(world, { path: at(all[0].session_id) });
  await page.locator(`[data-approval="${all[0].id}"]`).getByRole('button', { name: 'Allow once' }).click();
  await eventually('it went on', async () => (await world.get(`approvals/${all[0].id}`)).state === 'settled');
  await eventually('its card is gone', async () => (await page.locator('.card').count()) === 0);
});

scene('a session is fit for everybody, by day and by night, on a desk and on a phone', async ({ world, windows }) => {
  const peer = await Peer.join(world, 'build-1');
  await peer.tell(CONVERSATION);
  await everywhere(world, windows, async (page, look) => {
    await page.goto(world.url + at('ses_build'));
    await page.locator('.card').waitFor();
    await said(page, 'One test fails').waitFor();
    await page.locator('h1').scrollIntoViewIfNeeded();
    await look('session');
    await page.locator('.entries').evaluate((one) => one.scrollIntoView());
    await page.locator('details.tool').first().evaluate((one) => (one.open = true));
    await look('conversation');
    await page.getByRole('button', { name: 'Kill…' }).click();
    await fit(page, 'session, open');
  });
  peer.end();
}, { nodes: [] });
