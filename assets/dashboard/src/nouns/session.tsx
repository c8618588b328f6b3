// One session: what it is and costs, what it waits for, its helpers, its conversation, and what can be done to it.
import { useEffect } from 'preact/hooks';
import type { JSX } from 'preact';
import * as keys from '../keys';
import { follow } from '../live/socket';
import { approvals, session as things } from '../live/store';
import { Bar, Money, dollars, short } from '../parts/amount';
import { Terminal, quoted } from '../parts/copy';
import { Name, Visible } from '../parts/text';
import { Ago, At } from '../parts/time';
import { href } from '../route';
import { wantsAnswer, type Approval, type OpenCommand, type SessionRow, type SessionView } from '../words';
import { Card } from './card';
import { Actions, Composer } from './composer';
import { ConversationView } from './conversation';
import { StatePill } from './state';

export function SessionScreen({ id }: { id: string }): JSX.Element {
  useEffect(() => {
    follow([`session?id=${encodeURIComponent(id)}`], id);
    return () => follow([]);
  }, [id]);
  useKeys();
  const all = things.value;
  const session = all?.get('session') as SessionView | undefined;
  const isOther = session !== undefined && session.id !== id;
  if (!all || isOther || !session) {
    return (
      <>
        <Back />
        {all && !isOther ? (
          <p class="warning">
            There is no session <Visible text={id} />.
          </p>
        ) : (
          <p class="dim">Asking the supervisor …</p>
        )}
      </>
    );
  }
  const helpers = [...all].filter(([key]) => key.startsWith('helper/')).map(([, row]) => row as SessionRow);
  const commands = (all.get('commands') as OpenCommand[] | undefined) ?? [];
  return (
    <>
      <Back />
      <Head session={session} />
      <Waiting all={all} session={session} helpers={helpers} />
      <Facts session={session} />
      <Actions key={`actions ${id}`} session={session} />
      <Helpers root={id} helpers={helpers} />
      <Queue commands={commands} />
      <ConversationView key={id} id={id} events={session.events} />
      <Composer key={`composer ${id}`} session={session} />
      <Terminal lines={lines(session)} />
    </>
  );
}

function Back(): JSX.Element {
  return (
    <a href={href('fleet')} class="back">
      Fleet
    </a>
  );
}

function lines(session: SessionView): string[] {
  const id = quoted(session.id);
  const all = [`halctl sessions attach ${id}`, `halctl sessions logs ${id}`, `halctl sessions prompt ${id} 'TEXT'`];
  const pause = session.marks?.paused ? `halctl sessions unpause ${id}` : `halctl sessions pause ${id}`;
  return [...all, pause, `halctl sessions abort ${id}`, `halctl sessions kill ${id}`];
}

function Head({ session }: { session: SessionView }): JSX.Element {
  return (
    <header class="session-head">
      <h1 tabIndex={-1}>
        <Name text={session.title || session.id} />
      </h1>
      <p>
        <StatePill status={session.status} lastKnown={session.last_known} isPaused={!!session.marks?.paused} /> <Ago at={session.since} words="" />
        {session.marks?.paused && (
          <span class="dim">
            {' '}
            paused by <Visible text={session.marks.paused.by} />
          </span>
        )}
      </p>
      {session.parent_id && (
        <p>
          a helper of{' '}
          <a href={href('sessions', session.parent_id)}>
            <Name text={session.parent_id} />
          </a>
        </p>
      )}
      {session.error && (
        <p class="warning">
          <Visible text={session.error.slice(0, 2_000)} />
        </p>
      )}
      {session.retry && (
        <p class="warning">
          Attempt {session.retry.attempt} comes at <At at={session.retry.next} />: <Visible text={session.retry.message.slice(0, 1_000)} />
        </p>
      )}
    </header>
  );
}

/** What it and its helpers wait for, with the answer in place: the same card as under *Needs you*, also where more wait than stand there. */
function Waiting({ all, session, helpers }: { all: ReadonlyMap<string, unknown>; session: SessionView; helpers: SessionRow[] }): JSX.Element {
  const its = new Set([session.id, ...helpers.map((helper) => helper.id)]);
  const known = new Map([...all].filter(([key]) => key.startsWith('approval/')).map(([, one]) => [(one as Approval).id, one as Approval]));
  for (const one of approvals.value.values()) {
    if (its.has(one.session_id) && one.receipt.length >= (known.get(one.id)?.receipt.length ?? 0)) known.set(one.id, one);
  }
  const open = [...known.values()].filter((one) => wantsAnswer(one) || one.state === 'answered' || one.state === 'reached');
  return (
    <>
      {open.map((one) => (
        <Card key={one.id} approval={one} level="h2" />
      ))}
    </>
  );
}

function Facts({ session }: { session: SessionView }): JSX.Element {
  const { context, model, token_kinds: tokens } = session;
  const done = session.todo?.filter((item) => item.status === 'completed' || item.status === 'cancelled').length ?? 0;
  const fact = (name: string, value: JSX.Element | string) => (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
  return (
    <section class="panel about" aria-label="About it">
      <dl class="facts">
        {fact('project', <Name text={session.project} />)}
        {fact('node', <Name text={session.node_id} />)}
        {fact('in', <code><Visible text={session.directory} /></code>)}
        {fact('backend', <Visible text={session.backend} />)}
        {model && fact('model', <Visible text={`${model.provider}/${model.id}`} />)}
        {fact('cost', <Money micros={session.cost_micros} />)}
        {fact('tokens', short(session.tokens))}
        {context && fact('context', <Bar used={context.used} limit={context.limit} of="context" />)}
        {fact('began', <At at={session.started_at} />)}
        {fact('last event', <Ago at={session.active_at} />)}
      </dl>
      <details>
        <summary>Cost and tokens</summary>
        <dl class="facts">
          {fact('its own', <Money micros={session.own_cost_micros} />)}
          {fact('input', short(tokens.input))}
          {fact('output', short(tokens.output))}
          {fact('reasoning', short(tokens.reasoning))}
          {fact('from cache', short(tokens.cache_read))}
          {fact('to cache', short(tokens.cache_write))}
          {!!session.unreported_calls && fact('calls of which nothing was reported', String(session.unreported_calls))}
          {!!session.unpriced_tokens && fact('tokens without a known price', short(session.unpriced_tokens))}
          {!!session.cost_before_micros && fact('before this supervisor knew it', dollars(session.cost_before_micros))}
          {fact('compactions', String(session.compactions))}
        </dl>
      </details>
      {session.todo && session.todo.length > 0 && (
        <details>
          <summary>
            To do: {done} of {session.todo.length}
          </summary>
          <ul class="todo-list">
            {session.todo.slice(0, 200).map((item, index) => (
              <li key={index} class={item.status}>
                <span aria-hidden="true">{item.status === 'completed' ? '☑' : item.status === 'in_progress' ? '▶' : item.status === 'cancelled' ? '✕' : '☐'}</span>{' '}
                <Visible text={item.content} /> <span class="unseen">({item.status})</span>
              </li>
            ))}
          </ul>
        </details>
      )}
      <p class="dim id">
        <code>
          <Visible text={session.id} />
        </code>
      </p>
    </section>
  );
}

/** The tree of those that work for it. */
function Helpers({ root, helpers }: { root: string; helpers: SessionRow[] }): JSX.Element | null {
  if (helpers.length === 0) return null;
  const below = (id: string, depth: number): JSX.Element => (
    <ul class="helpers">
      {helpers
        .filter((helper) => helper.parent_id === id)
        .map((helper) => (
          <li key={helper.id}>
            <StatePill status={helper.status} lastKnown={helper.last_known} />{' '}
            <a href={href('sessions', helper.id)}>
              <Name text={helper.title || helper.id} />
            </a>{' '}
            <span class="dim">
              <Money micros={helper.cost_micros} /> {helper.why && <Visible text={helper.why} />}
            </span>
            {depth < 8 && helpers.some((other) => other.parent_id === helper.id) && below(helper.id, depth + 1)}
          </li>
        ))}
    </ul>
  );
  return (
    <details class="panel" open={helpers.length <= 6}>
      <summary>Helpers ({helpers.length})</summary>
      {below(root, 0)}
    </details>
  );
}

/** What anybody has asked of it that is not over. */
function Queue({ commands }: { commands: OpenCommand[] }): JSX.Element | null {
  if (commands.length === 0) return null;
  return (
    <ul class="queue" aria-label="Commands on their way">
      {commands.map((one) => (
        <li key={one.command_id}>
          <code>{one.verb}</code> by <Visible text={one.actor} />: {one.state}, <Ago at={one.created_at} />
        </li>
      ))}
    </ul>
  );
}

function useKeys(): void {
  useEffect(() => {
    const step = (by: 1 | -1) => {
      const turns = [...document.querySelectorAll<HTMLElement>('.said.user')];
      const tops = turns.map((turn) => turn.getBoundingClientRect().top);
      const at = by > 0 ? tops.findIndex((top) => top > 90) : tops.findLastIndex((top) => top < 40);
      turns[at]?.scrollIntoView({ block: 'start' });
      turns[at]?.focus({ preventScroll: true });
    };
    const tools = () => {
      const all = [...document.querySelectorAll<HTMLDetailsElement>('details.tool')];
      const isAnyOpen = all.some((one) => one.open);
      for (const one of all) one.open = !isAnyOpen;
    };
    keys.ofScreen.value = [
      { key: 'i', does: 'write a prompt', act: () => document.querySelector<HTMLTextAreaElement>('.composer textarea')?.focus() },
      { key: '[', does: 'prompt before', act: () => step(-1) },
      { key: ']', does: 'next prompt', act: () => step(1) },
      { key: 't', does: 'open or close all tools', act: tools },
    ];
    return () => {
      keys.ofScreen.value = [];
    };
  }, []);
}
