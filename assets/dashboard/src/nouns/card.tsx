// One approval: what is asked, whole; what can be answered; and what became of it, in place.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { connection, me, now } from '../live/store';
import { Terminal, quoted } from '../parts/copy';
import { Next, Receipt } from '../parts/receipt';
import { Name, Visible, countHidden } from '../parts/text';
import { Ago, At, span } from '../parts/time';
import { href } from '../route';
import { may, wantsAnswer, type Approval, type ApprovalState } from '../words';
import { allow, choose, deny, pending, settle, snooze, type Pending } from './answer';
import { Questions } from './question';
import { watch } from './seen';

/** Beyond this a command is folded, and nobody allows what they have not unfolded. */
const LINES = 30;
const LETTERS = 3_000;

/** What the supervisor itself cuts off: see MAX_WHAT there. */
const MOST_LETTERS = 64 * 1024;

const WORDS: Record<ApprovalState, string> = {
  waiting: 'waits for you',
  answered: 'answer on its way',
  reached: 'answer has arrived',
  settled: 'went on',
  undelivered: 'answer did not arrive',
  lapsed: 'over',
};

const SNOOZES: [string, number][] = [
  ['15 min', 900],
  ['1 hour', 3_600],
  ['4 hours', 14_400],
  ['until tomorrow', 57_600],
];

type Form = 'none' | 'deny' | 'snooze' | 'always';

export function Card({ approval, level }: { approval: Approval; level: 'h2' | 'h3' }): JSX.Element {
  const element = useRef<HTMLElement>(null);
  const waits = wantsAnswer(approval);
  useEffect(() => (element.current && waits ? watch(element.current) : undefined), [waits]);
  const sent = pending.value[approval.id];
  useEffect(() => {
    // The supervisor has it: what it says goes before what this page remembers.
    if (sent && sent.state !== 'refused' && sent.word !== 'Snooze' && !wantsAnswer(approval)) settle(approval.id);
  });
  const Title = level;
  return (
    <article
      ref={element}
      class={`card ${approval.state}`}
      id={`a-${approval.id}`}
      data-approval={approval.id}
      aria-labelledby={`t-${approval.id}`}
      tabIndex={-1}
    >
      <header>
        <Title id={`t-${approval.id}`}>
          <span class="about">
            <Visible text={approval.about || approval.kind} />
          </span>{' '}
          <span class="place">
            <Name text={approval.project} /> <span class="dim">on</span> <Name text={approval.node_id} />
          </span>
        </Title>
        <Standing approval={approval} />
      </header>
      <What approval={approval} />
      <Sent approval={approval} sent={sent} />
      {!waits && <Next approval={approval} />}
      <Receipt approval={approval} />
      <footer>
        <a href={href('needs-you', approval.id)} class="dim" title="a link to this approval">
          <Visible text={approval.id} />
        </a>
        <Terminal lines={lines(approval)} />
      </footer>
    </article>
  );
}

function lines(approval: Approval): string[] {
  const id = quoted(approval.id);
  if (!wantsAnswer(approval)) return [`halctl approvals get ${id}`];
  const yes =
    approval.kind === 'question'
      ? [`halctl approvals answer ${id} TEXT`]
      : [`halctl approvals allow ${id}`, `halctl approvals allow ${id} --always`];
  return [...yes, `halctl approvals deny ${id} --message WHY`, `halctl approvals snooze ${id} --for 15m`];
}

function Standing({ approval }: { approval: Approval }): JSX.Element {
  const until = approval.snoozed_until ? Date.parse(approval.snoozed_until) : 0;
  const isAsleep = until > now.value && wantsAnswer(approval);
  return (
    <p class="standing">
      <span class={`pill ${isAsleep ? 'asleep' : approval.state}`}>{isAsleep ? 'snoozed' : WORDS[approval.state]}</span>
      {wantsAnswer(approval) ? (
        <>
          <Ago at={approval.asked_at} words="" />
          {isAsleep && <span class="dim">again in {span(until - now.value)}</span>}
          {approval.deadline && <span class="deadline">time limit in {span(Date.parse(approval.deadline) - now.value)}</span>}
        </>
      ) : (
        <span class="dim">
          asked <At at={approval.asked_at} />
        </span>
      )}
    </p>
  );
}

/** What is asked, and the answers that can be given. */
function What({ approval }: { approval: Approval }): JSX.Element {
  const [isWhole, setWhole] = useState(false);
  const text = approval.what;
  const all = text.split('\n');
  const isLong = all.length > LINES || text.length > LETTERS;
  const isCut = [...text.slice(-1)][0] === '…' && text.length >= MOST_LETTERS;
  const shown = isLong && !isWhole ? all.slice(0, LINES).join('\n').slice(0, LETTERS) : text;
  const isPartial = approval.is_partial === true && approval.kind === 'permission';
  const hidden = countHidden(text);
  const isQuestion = approval.kind === 'question' && (approval.questions?.length ?? 0) > 0;
  return (
    <>
      {!isQuestion && (
        <div class="what">
          <pre tabIndex={0} aria-label="what is asked">
            <Visible text={shown} />
          </pre>
          {isLong && (
            <button type="button" class="quiet" onClick={() => setWhole(!isWhole)} aria-expanded={isWhole}>
              {isWhole ? 'Fold' : `Show all: ${all.length} lines, ${text.length.toLocaleString()} characters`}
            </button>
          )}
          {hidden > 0 && (
            <p class="warning">
              <b>Careful:</b> {hidden === 1 ? 'one hidden character is' : `${hidden} hidden characters are`} marked above.
            </p>
          )}
          {isPartial && wantsAnswer(approval) && <p class="warning">The event that asked is not stored here any more: this may be the beginning only. Look at the whole at its node before you allow it.</p>}
          {isCut && <p class="warning">This is cut off after {MOST_LETTERS.toLocaleString()} characters. Look at the whole at its node before you allow it.</p>}
        </div>
      )}
      <dl class="facts">
        <div>
          <dt>in</dt>
          <dd>
            <code>
              <Visible text={approval.directory} />
            </code>
          </dd>
        </div>
        <div>
          <dt>session</dt>
          <dd>
            <a href={href('sessions', approval.session_id)}>
              <code>
                <Visible text={approval.session_id} />
              </code>
            </a>
          </dd>
        </div>
      </dl>
      {approval.reasoning && (
        <details class="reasoning" open={approval.reasoning.length < 400}>
          <summary>What it thought</summary>
          <p>
            <Visible text={approval.reasoning} />
          </p>
        </details>
      )}
      {wantsAnswer(approval) && may(me.value?.role, 'approver') && (
        <Answers approval={approval} why={isLong && !isWhole ? 'show all of it first' : isCut || isPartial ? 'not all of it is shown' : ''} />
      )}
      {wantsAnswer(approval) && me.value && !may(me.value.role, 'approver') && (
        <p class="dim">Answering takes the role approver; yours is {me.value.role}.</p>
      )}
    </>
  );
}

/** The buttons. `why`: why it cannot be allowed. */
function Answers({ approval, why }: { approval: Approval; why: string }): JSX.Element {
  const [form, setForm] = useState<Form>('none');
  const isSending = pending.value[approval.id]?.state === 'sending';
  const isAway = connection.value.state !== 'live';
  const cannot = isAway ? 'not connected: nothing is sent later by itself' : isSending ? 'it is being sent' : '';
  const toggle = (wanted: Form) => setForm(form === wanted ? 'none' : wanted);
  const button = (word: Form, label: string, key: string) => (
    <button type="button" data-act={word} onClick={() => toggle(word)} disabled={!!cannot} title={cannot || `key ${key}`} aria-expanded={form === word}>
      {label}
    </button>
  );
  // The buttons go away with the answer: the focus stays with the card, and keys with it.
  const keepFocus = () => document.getElementById(`a-${approval.id}`)?.focus({ preventScroll: true });
  const yes = (always: boolean) => () => {
    setForm('none');
    keepFocus();
    void allow(approval.id, always);
  };
  return (
    <div class="answers">
      {approval.kind === 'question' ? (
        <Questions approval={approval} cannot={cannot} send={(answers) => void choose(approval.id, answers)} />
      ) : null}
      <div class="buttons">
        {approval.kind === 'permission' && (
          <button type="button" class="primary" data-act="allow" onClick={yes(false)} disabled={!!(cannot || why)} title={cannot || why || 'key a'}>
            Allow once
          </button>
        )}
        {button('deny', approval.kind === 'question' ? 'Decline…' : 'Deny…', 'd')}
        {approval.kind === 'permission' && (
          <button type="button" data-act="always" onClick={() => toggle('always')} disabled={!!(cannot || why)} title={cannot || why || 'key A'} aria-expanded={form === 'always'}>
            Always…
          </button>
        )}
        {button('snooze', 'Snooze…', 's')}
      </div>
      {(why || isAway) && <p class="dim why">{isAway ? cannot : `Allow: ${why}.`}</p>}
      {form === 'deny' && <Deny approval={approval} cannot={cannot} close={() => {
        setForm('none');
        keepFocus();
      }} />}
      {form === 'always' && (
        <div class="form">
          <p>It may do this now, and whatever its coding agent takes for the same later, without anybody being asked.</p>
          <button type="button" class="primary" onClick={yes(true)} disabled={!!cannot}>
            Always allow
          </button>
          <button type="button" onClick={() => setForm('none')}>
            Cancel
          </button>
        </div>
      )}
      {form === 'snooze' && (
        <div class="form" role="group" aria-label="Snooze for">
          {SNOOZES.map(([label, seconds]) => (
            <button
              key={label}
              type="button"
              disabled={!!cannot}
              onClick={() => {
                setForm('none');
                keepFocus();
                void snooze(approval.id, seconds);
              }}
            >
              {label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

function Deny({ approval, cannot, close }: { approval: Approval; cannot: string; close: () => void }): JSX.Element {
  const draft = `hal.deny.${approval.id}`;
  const [words, setWords] = useState(sessionStorage.getItem(draft) ?? '');
  const field = useRef<HTMLTextAreaElement>(null);
  // Before the next key comes: what is typed into the field must not act on the card.
  useLayoutEffect(() => field.current?.focus(), []);
  const submit = (event: Event) => {
    event.preventDefault();
    if (cannot) return;
    sessionStorage.removeItem(draft);
    close();
    void deny(approval.id, words.trim());
  };
  return (
    <form class="form deny" onSubmit={submit}>
      <label>
        What it should do instead <span class="dim">(may stay empty)</span>
        <textarea
          ref={field}
          rows={2}
          value={words}
          enterkeyhint="send"
          onInput={(event) => {
            setWords(event.currentTarget.value);
            sessionStorage.setItem(draft, event.currentTarget.value);
          }}
          onKeyDown={(event) => {
            if (event.key === 'Escape') close();
            if (event.key === 'Enter' && !event.shiftKey) submit(event);
          }}
        />
      </label>
      <button type="submit" class="danger" disabled={!!cannot}>
        {approval.kind === 'question' ? 'Decline' : 'Deny'}
      </button>
      <button type="button" onClick={close}>
        Cancel
      </button>
    </form>
  );
}

/** What is known of what was tapped here. */
function Sent({ approval, sent }: { approval: Approval; sent: Pending | undefined }): JSX.Element | null {
  if (!sent) return null;
  const dismiss = (
    <button type="button" class="quiet" onClick={() => settle(approval.id)}>
      OK
    </button>
  );
  if (sent.state === 'sending') {
    return (
      <p class="sent" role="status">
        <span class="spinner" aria-hidden="true" /> {sent.word}: sent, not yet taken …
      </p>
    );
  }
  if (sent.state === 'refused') {
    return (
      <p class="sent refused" role="alert">
        {sent.word} does not count: <Visible text={sent.why} /> {dismiss}
      </p>
    );
  }
  const isBack = connection.value.state === 'live';
  return (
    <p class="sent unknown" role="alert">
      {isBack && wantsAnswer(approval)
        ? `${sent.word} did not arrive: it still waits. Answer again. `
        : `${sent.word}: whether it arrived is not known yet (${sent.why}). What is true is shown as soon as the supervisor answers. `}
      {isBack && dismiss}
    </p>
  );
}
