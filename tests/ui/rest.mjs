// Scenes of nodes, alerts, money and the audit: what stands there is what is so, and what is asked for is seen to be done.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { everywhere, scene, text } from './scene.mjs';
import { Peer } from './peer.mjs';
import { eventually } from './world.mjs';

const node = (page, name) => page.locator(`[data-node="${name}"]`);
const saved = async (page, click) => {
  const [download] = await Promise.all([page.waitForEvent('download'), click()]);
  return readFileSync(await download.path(), 'utf8');
};

scene('nodes: online and offline as they are, where their events stand, and one is let in and out', async ({ world, windows }) => {
  await world.session('say hm', { node: 'web-1' });
  const page = await windows.page(world, { path: 'nodes' });
  await node(page, 'web-1').getByText('online').waitFor();
  const { journal } = await world.get('nodes/web-1');
  await eventually('its journal', async () => (await text(node(page, 'web-1'))).includes(`${journal.acknowledged} of ${journal.held} acknowledged`));
  await node(page, 'web-1').getByText('tested with').or(node(page, 'web-1').getByText('echo').first()).first().waitFor();
  world.agents.get('web-2').kill('SIGKILL');
  await node(page, 'web-2').getByText('▲ offline').waitFor();
  await page.getByRole('button', { name: 'offline', exact: true }).click();
  await node(page, 'web-1').waitFor({ state: 'detached' });
  assert.equal(new URL(page.url()).search, '?status=offline');
  await page.getByRole('button', { name: 'Make the line by which' }).click();
  const line = await page.locator('.join .line code').innerText();
  assert.match(line, /^hal-agent join http:\/\/127\.0\.0\.1:\d+ --token \S+$/);
  await page.getByRole('button', { name: 'Done' }).click();
  await page.reload();
  await node(page, 'web-2').waitFor();
  assert.ok(!(await page.content()).includes(line.split(' ').at(-1)), 'it is shown once');
  // A machine of that token is a node, until it is revoked.
  await page.goto(`${world.url}nodes/web-1`);
  await page.getByRole('button', { name: 'Revoke…' }).click();
  await page.getByRole('button', { name: 'Revoke now' }).click();
  await page.getByText('it is let in no more').waitFor();
  await node(page, 'web-1').getByText('▲ offline').waitFor();
  const eve = await windows.page(world, { path: 'nodes', token: await world.user('eve', 'viewer') });
  await eve.getByText('Adding a node takes the role admin; yours is viewer.').waitFor();
  await node(eve, 'web-1').waitFor();
  assert.equal(await eve.getByRole('button', { name: /Revoke|Make the line/ }).count(), 0);
}, { nodes: ['web-1', 'web-2'] });

scene('alerts: what fires stands first, acknowledging is told as it was taken, and a silence has an end', async ({ world, windows }) => {
  const incident = { name: 'incident.open', severity: 'high', text: '<b>The shop</b> is slow\u202e.', resolved: false };
  await world.post('alerts', { ...incident, about: 'inc-1', severity: 'low' });
  const fired = await world.post('alerts', { ...incident, about: 'inc-2' });
  const bob = await world.user('bob', 'operator');
  const page = await windows.page(world, { path: 'alerts', token: bob });
  const card = page.locator(`[data-alert="${fired.id}"]`);
  await card.getByText('firing').waitFor();
  assert.match(await text(card), /inc-2 .*<b>The shop<\/b> is slow ?RLO/);
  const order = await page.locator('[data-alert]').evaluateAll((cards) => cards.map((one) => one.dataset.alert));
  assert.equal(order[0], String(fired.id), 'the worst first');
  await card.getByText(/Nobody: no route leads it to a channel/).waitFor();
  await card.getByRole('button', { name: /Silence/ }).click();
  assert.equal(await page.locator('input[name=matches]').inputValue(), 'incident.open');
  await page.locator('input[name=reason]').fill('we move it');
  await page.getByRole('button', { name: 'Silence', exact: true }).click();
  await page.getByText('incident.open is silenced for').waitFor();
  await page.locator('.silences li', { hasText: 'by bob, ends in' }).waitFor();
  await page.getByRole('button', { name: 'End the silence incident.open' }).click();
  await page.getByText('None: every alert that fires is told.').waitFor();
  await page.locator('input[name=matches]').fill('alert.sevrity < high');
  await page.getByRole('button', { name: 'Silence', exact: true }).click();
  await page.locator('.silences .sent.refused', { hasText: 'severity' }).waitFor();
  await card.getByRole('button', { name: /Acknowledge/ }).click();
  await page.getByText(/acknowledged; it stays open while it holds, by bob/).waitFor();
  await card.getByText('acknowledged', { exact: true }).waitFor();
  const eve = await windows.page(world, { path: `alerts/${fired.id}`, token: await world.user('eve', 'viewer') });
  await eve.locator('[data-alert]').waitFor();
  assert.equal(await eve.getByRole('button', { name: /Acknowledge|Silence/ }).count(), 0);
});

scene('money: what is unknown is unknown, a budget is raised once, and the file holds what is shown', async ({ world, windows }) => {
  const session = await world.session('cost 1.25; tokens 1000 10; say done');
  await eventually('it is counted', async () => (await world.get('cost')).total.cost_micros === 1_250_000);
  const peer = await Peer.join(world, 'web-9');
  await peer.tell([
    ['ses_x', 'session.created', { info: { id: 'ses_x', title: '=cmd()', directory: '/srv/shop' } }],
    ['ses_x', 'message.updated', { info: { id: 'msg_1', role: 'assistant', providerID: 'acme', modelID: '=of tomorrow', tokens: { input: 500, output: 5, reasoning: 0, cache: { read: 0, write: 0 } }, finish: 'stop', time: { created: Date.now(), completed: Date.now() + 1_000 } } }],
  ]);
  await world.api('PUT', 'budgets/day', { scope: 'fleet', limit_micros: 5_000_000, period: 'day', at_limit: 'pause' });
  const page = await windows.page(world, { path: 'money' });
  await page.locator('.total', { hasText: '$1.25' }).waitFor();
  await page.locator('.warning', { hasText: 'tokens without a known price' }).waitFor();
  await page.locator('tr', { hasText: '=of tomorrow' }).getByText('unknown').waitFor();
  await page.getByRole('button', { name: 'by session' }).click();
  await page.getByRole('link', { name: session }).waitFor();
  await page.getByRole('button', { name: 'by model' }).click();
  const file = await saved(page, () => page.getByRole('button', { name: 'CSV' }).click());
  assert.match(file, /^model,cost_usd,tokens/);
  assert.ok(file.includes('acme/=of tomorrow,,'), `unknown is empty: ${file}`);
  const exposure = await world.get('cost/exposure');
  if (exposure.most_micros === null) await page.getByText('No limit:').waitFor();
  else await page.getByText(/can still be spent under these budgets/).waitFor();
  await page.getByRole('button', { name: 'Raise day…' }).click();
  await page.locator('input[name=by]').fill('2.5');
  await page.keyboard.press('Enter');
  await page.getByText('by $2.50 until the end of its day').waitFor();
  await page.locator('.budget', { hasText: 'free of $7.50' }).waitFor();
  const [budget] = await world.get('budgets/day');
  assert.equal(budget.raised_micros, 2_500_000);
  const eve = await windows.page(world, { path: 'money', token: await world.user('eve', 'viewer') });
  await eve.getByText('Raising a budget takes the role admin; yours is viewer.').waitFor();
  peer.end();
});

scene('the audit is searched and saved, whoever is no administrator is told so, and its text is text', async ({ world, windows }) => {
  const bob = await world.user('bob', 'operator');
  await world.api('POST', 'silences', { matches: 'node.offline', seconds: 60, reason: '<img src=x onerror=alert(1)> \u202ehm' }, bob);
  const page = await windows.page(world, { path: 'audit' });
  const records = page.locator('.records li');
  await records.first().waitFor();
  await page.locator('input[name=actor]').fill('bob');
  await page.keyboard.press('Enter');
  await eventually('only his', async () => {
    const all = await records.allInnerTexts();
    return all.length > 0 && all.every((one) => one.includes('bob'));
  });
  assert.equal(new URL(page.url()).search, '?actor=bob');
  await records.first().locator('summary').click();
  await page.locator('.args').first().waitFor();
  assert.equal(await page.locator('main :is(img, script)').count(), 0);
  const file = await saved(page, () => page.getByRole('button', { name: 'Save as JSON' }).click());
  assert.ok(JSON.parse(file).length > 0 && JSON.parse(file).every((one) => one.actor === 'bob'));
  const table = await saved(page, () => page.getByRole('button', { name: 'Save as CSV' }).click());
  assert.match(table.split('\r\n')[0], /seq.*actor.*action/);
  await page.getByRole('button', { name: 'Verify the chain' }).click();
  await page.getByText(/records, each as it was written/).waitFor();
  const his = await windows.page(world, { path: 'audit', token: bob });
  await his.getByText('The audit takes the role admin; yours is operator.').waitFor();
  assert.equal(await his.getByRole('link', { name: 'Audit' }).count(), 0, 'it is not in his menu');
});

scene('nodes, alerts, money and audit are fit for everybody, by day and by night, on a desk and on a phone', async ({ world, windows }) => {
  await world.session('cost 1.25; tokens 1000 10; say done', { node: 'web-1' });
  await world.api('PUT', 'budgets/day', { scope: 'fleet', limit_micros: 5_000_000, period: 'day', at_limit: 'pause' });
  world.agents.get('web-2').kill('SIGKILL');
  await world.post('alerts', { name: 'incident.open', about: 'inc-1', severity: 'high', text: 'The shop answers slowly since the migration; Ada looks at it.', resolved: false });
  await world.post('silences', { matches: 'disk.*', seconds: 3_600, reason: 'the disk is being exchanged' });
  await everywhere(world, windows, async (page, look) => {
    for (const [screen, shown] of [['nodes', '[data-node=web-2]'], ['alerts', '[data-alert]'], ['money', '.budget'], ['audit', '.records li']]) {
      await page.goto(world.url + screen);
      await page.locator(shown).first().waitFor();
      await look(screen);
    }
  });
}, { nodes: ['web-1', 'web-2'] });
