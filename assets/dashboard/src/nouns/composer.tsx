// What a person does to a session: prompts it, pauses it, aborts its turn, kills its work. The draft outlives the page.
import { useEffect, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { connection, me } from '../live/store';
import { may, type Role, type SessionView } from '../words';
import { Commands, command, commands, type Standing } from './command';

/** How a prompt stands that the supervisor has not taken. */
const NOT_TAKEN: Standing[] = ['sending', 'no answer', 'refused'];

const draftOf = (id: string) => `hal.draft.${id}`;

export function Composer({ session }: { session: SessionView }): JSX.Element {
  const { id } = session;
  const [text, setText] = useState(() => sessionStorage.getItem(draftOf(id)) ?? '');
  const [isSending, setSending] = useState(false);
  const [began, setBegan] = useState(0);
  const isAway = connection.value.state !== 'live';
  const keep = (value: string) => {
    setText(value);
    if (value) sessionStorage.setItem(draftOf(id), value);
    else sessionStorage.removeItem(draftOf(id));
  };
  const type = (value: string) => {
    // The same words written a second time are another prompt.
    setBegan(Date.now());
    keep(value);
  };
  const send = async () => {
    if (!text.trim() || isAway || isSending) return;
    setSending(true);
    await command(id, 'Prompt', { type: 'prompt_session', session_id: id, args: { message: text } });
    setSending(false);
  };
  const isTaken = commands.value.some((one) => one.about === id && !NOT_TAKEN.includes(one.state) && (one.body['args'] as { message?: string } | undefined)?.message === text && one.at >= began);
  useEffect(() => {
    // What did not arrive stays, to be sent by whoever wrote it; what was taken, also when it was sent again, does not.
    if (isTaken && text) keep('');
  }, [isTaken]);
  const isOver = session.status === 'ended';
  return (
    <div class="composer">
      <Commands about={id} />
      {!may(me.value?.role, 'operator') ? (
        <p class="dim">Prompting takes the role operator; yours is {me.value?.role}.</p>
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void send();
          }}
        >
          <label>
            <span class="unseen">Prompt</span>
            <textarea
              name="prompt"
              rows={text.split('\n').length > 2 ? 5 : 2}
              value={text}
              enterkeyhint="send"
              placeholder={isOver ? 'It has ended; a prompt takes the conversation up again where its coding agent can' : 'Prompt it (Ctrl+Enter sends)'}
              onInput={(event) => type(event.currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
                  event.preventDefault();
                  void send();
                }
              }}
            />
          </label>
          <button type="submit" class="primary" disabled={!text.trim() || isAway || isSending} title={isAway ? 'not connected: nothing is sent later by itself' : ''}>
            Send
          </button>
        </form>
      )}
    </div>
  );
}

interface Act {
  word: string;
  verb: string;
  least: Role;
  isFor: (session: SessionView) => boolean;
  asks?: string;
}

const runs = (session: SessionView) => ['running', 'waiting', 'retrying'].includes(session.last_known ?? session.status);

const ACTS: Act[] = [
  { word: 'Abort turn', verb: 'abort_session', least: 'approver', isFor: runs, asks: 'The running turn is stopped. The session can be prompted again.' },
  { word: 'Pause', verb: 'pause_session', least: 'approver', isFor: (one) => !one.marks?.paused && one.status !== 'ended', asks: 'The turn is stopped, and no policy touches the session until somebody resumes or prompts it.' },
  { word: 'Resume', verb: 'release_session', least: 'operator', isFor: (one) => !!one.marks?.paused },
  { word: 'Kill', verb: 'kill_session', least: 'approver', isFor: (one) => one.status !== 'ended', asks: 'Its work and its processes are stopped. The conversation is kept.' },
];

/** What can be done to it beside prompting it. */
export function Actions({ session }: { session: SessionView }): JSX.Element {
  const [asking, setAsking] = useState('');
  const isAway = connection.value.state !== 'live';
  useEffect(() => setAsking(''), [session.id]);
  const all = ACTS.filter((act) => act.isFor(session));
  const allowed = all.filter((act) => may(me.value?.role, act.least));
  const beyond = all.filter((act) => !may(me.value?.role, act.least));
  const act = (one: Act) => {
    setAsking('');
    void command(session.id, one.word, { type: one.verb, session_id: session.id });
  };
  const asked = allowed.find((one) => one.verb === asking);
  return (
    <section class="actions" aria-label="Actions">
      {allowed.length > 0 && (
        <div class="buttons">
          {allowed.map((one) => (
            <button key={one.verb} type="button" data-act={one.verb} disabled={isAway} onClick={() => (one.asks ? setAsking(asking === one.verb ? '' : one.verb) : act(one))} aria-expanded={one.asks ? asking === one.verb : undefined}>
              {one.word}
              {one.asks && '…'}
            </button>
          ))}
        </div>
      )}
      {asked && (
        <div class="form asked" role="group" aria-label={asked.word}>
          <p>{asked.asks}</p>
          <button type="button" class="danger" disabled={isAway} onClick={() => act(asked)}>
            {asked.word} now
          </button>
          <button type="button" onClick={() => setAsking('')}>
            Cancel
          </button>
        </div>
      )}
      {beyond.length > 0 && (
        <p class="dim">
          {beyond.map((one) => `${one.word} takes the role ${one.least}`).join('; ')}; yours is {me.value?.role}.
        </p>
      )}
      {isAway && <p class="dim">Not connected: nothing is sent later by itself.</p>}
    </section>
  );
}
