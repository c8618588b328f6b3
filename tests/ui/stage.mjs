// What scenes show that are for people's eyes, too: sessions as they are, in the words of a coding agent.
const now = () => Date.now();

const told = (id, type, data) => [id, type, data];
const message = (session, id, role, more = {}) => told(session, 'message.updated', { info: { id, role, ...more } });
const text = (session, id, message_, words, type = 'text') => told(session, 'message.part.updated', { part: { id, messageID: message_, type, text: words } });
const used = (cost, input, output) => ({ providerID: 'anthropic', modelID: 'claude-sonnet', cost, tokens: { input, output, reasoning: 0, cache: { read: 9_200, write: 0 } }, contextLimit: 200_000, finish: 'tool-calls', time: { created: now(), completed: now() + 8_000 } });
const tool = (session, id, message_, command, output, exit) =>
  told(session, 'message.part.updated', { part: { id, messageID: message_, type: 'tool', tool: 'bash', callID: `call_${id}`, state: { status: 'completed', input: { command }, title: command, output, metadata: { exit } } } });

const begun = (id, title) => told(id, 'session.created', { info: { id, title, directory: '/srv/shop' } });
const busy = (id) => told(id, 'session.status', { status: { type: 'busy' } });
const idle = (id) => told(id, 'session.idle', {});
const asks = (id, command, message_ = 'msg_2') => told(id, 'permission.asked', { id: `per_${id}`, permission: 'bash', patterns: [command], metadata: { command }, tool: { messageID: message_, callID: 'call_ask' } });

/** A conversation that has come to a question. */
export const CONVERSATION = [
  begun('ses_build', 'Find out why the build fails'),
  busy('ses_build'),
  message('ses_build', 'msg_1', 'user'),
  text('ses_build', 'prt_1', 'msg_1', 'The nightly build fails since this morning. Find out why, and mend it.'),
  message('ses_build', 'msg_2', 'assistant'),
  text('ses_build', 'prt_2', 'msg_2', 'The log should say which target is at fault. I run the tests first, then look at what changed last.', 'reasoning'),
  text('ses_build', 'prt_3', 'msg_2', 'I run the tests and look at what changed since yesterday.'),
  tool('ses_build', 'prt_4', 'msg_2', 'cargo test --workspace', 'running 214 tests\n...\ntest checkout::rounds_half_up ... FAILED\n\ntest result: FAILED. 213 passed; 1 failed', 101),
  tool('ses_build', 'prt_5', 'msg_2', 'git log --oneline -3', 'a41c02e Prices are kept in cents\n77d0e1b Faster checkout\n0c9b7f2 Bump serde', 0),
  text('ses_build', 'prt_6', 'msg_2', 'One test fails: prices are kept in cents since `a41c02e`, and the test still compares dollars:\n\n```rust\nassert_eq!(total(&cart), 1.25);   // 125 now\n```\n\nI can mend the test. The old build folder holds files of both; it has to go first.'),
  message('ses_build', 'msg_2', 'assistant', used(0.0412, 11_200, 420)),
  told('ses_build', 'todo.updated', { todos: [{ content: 'Find the failing test', status: 'completed' }, { content: 'Clean the build folder', status: 'in_progress' }, { content: 'Mend the test', status: 'pending' }] }),
  asks('ses_build', 'rm -rf target/debug && cargo build --workspace'),
];

const row = (id, title, cost, context, ...more) => [begun(id, title), busy(id), message(id, `msg_${id}`, 'assistant', used(cost, context, 300)), ...more];

/** A fleet on a working day. */
export const FLEET = [
  ...CONVERSATION,
  ...row('ses_docs', 'Describe the new checkout for the handbook', 0.83, 61_000),
  ...row('ses_deps', 'Bump all dependencies, one commit each', 2.17, 148_000, told('ses_deps', 'todo.updated', { todos: Array.from({ length: 9 }, (_, no) => ({ content: `crate ${no}`, status: no < 4 ? 'completed' : 'pending' })) })),
  ...row('ses_flaky', 'Why is login_test flaky?', 0.31, 22_000),
  ...row('ses_i18n', 'Translate the order mails', 0.56, 35_000, idle('ses_i18n')),
  ...row('ses_css', 'The cart jumps on small screens', 0.12, 9_000, idle('ses_css')),
  ...row('ses_db', 'Move old orders to the archive', 0.94, 87_000, told('ses_db', 'session.error', { error: { name: 'APIError', data: { message: 'overloaded_error: 529' } } }), idle('ses_db')),
];
