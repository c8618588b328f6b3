// Alerts: what fires, since when, who was told and who is next; acknowledging, and silences with their ends.
import { useEffect, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { get, part, post } from '../api/call';
import { connection, me, now } from '../live/store';
import { Outcome, useAct, type Acting } from '../parts/act';
import { Terminal, quoted } from '../parts/copy';
import { usePolled } from '../parts/polled';
import { Name, Visible } from '../parts/text';
import { Ago, At, span } from '../parts/time';
import { href, refine, search } from '../route';
import { NEVER, may, type Alert, type AlertView, type Severity, type Silence } from '../words';

const ORDER: Record<Alert['status'], number> = { firing: 0, acknowledged: 1, resolved: 2 };
const WEIGHT: Record<Severity, number> = { critical: 0, high: 1, medium: 2, low: 3 };
const STATES = ['open', 'firing', 'acknowledged', 'resolved', 'all'];

/** Those of which it is shown at once who was told. */
const OPEN_AT_ONCE = 5;

/** Firing first, and of those the worst. */
const first = (one: Alert, other: Alert) => ORDER[one.status] - ORDER[other.status] || WEIGHT[one.severity] - WEIGHT[other.severity] || other.id - one.id;

export function AlertsScreen({ alert }: { alert?: string | undefined }): JSX.Element {
  const query = new URLSearchParams(search.value);
  const status = STATES.includes(query.get('status') ?? '') ? (query.get('status') ?? 'open') : 'open';
  const severity = query.get('severity') ?? '';
  const path = alert ? `api/v1/alerts/${part(alert)}` : `api/v1/alerts?status=${status}&severity=${part(severity)}&limit=200`;
  const { data, meta, why, reload } = usePolled<Alert[] | Alert>(path, 4);
  const acting = useAct();
  const [matches, setMatches] = useState('');
  const alerts = data === undefined ? undefined : (Array.isArray(data) ? data : [data]).toSorted(first);
  const refined = (name: string, value: string) => {
    const next = new URLSearchParams(search.value);
    if (value) next.set(name, value);
    else next.delete(name);
    refine(next);
  };
  const acknowledge = (one: Alert) =>
    void acting
      .act(`Alert ${one.id}`, async () => {
        const after = await post<Alert>(`api/v1/alerts/${one.id}/ack`);
        return `${after.status === 'resolved' ? 'acknowledged and with that resolved' : 'acknowledged; it stays open while it holds'}, by ${after.acknowledged_by || (me.value?.name ?? '')}`;
      })
      .then(reload);
  return (
    <>
      <h1 tabIndex={-1}>
        {alert ? (
          <a href={href('alerts')} class="back">
            Alerts
          </a>
        ) : (
          'Alerts'
        )}
      </h1>
      {!alert && (
        <div class="filters two">
          <label>
            <span class="unseen">Which alerts</span>
            <select value={status} onChange={(event) => refined('status', event.currentTarget.value === 'open' ? '' : event.currentTarget.value)}>
              <option value="open">open</option>
              <option value="firing">firing</option>
              <option value="acknowledged">acknowledged</option>
              <option value="resolved">resolved</option>
              <option value="all">all</option>
            </select>
          </label>
          <label>
            <span class="unseen">Severity</span>
            <select value={severity} onChange={(event) => refined('severity', event.currentTarget.value)}>
              <option value="">any severity</option>
              <option value="medium">medium and above</option>
              <option value="high">high and above</option>
              <option value="critical">critical</option>
            </select>
          </label>
        </div>
      )}
      {why && (
        <p class="warning" role="alert">
          <Visible text={why} />
        </p>
      )}
      <Outcome of={acting} />
      {!alerts && !why && <p class="dim">Asking the supervisor …</p>}
      {alerts?.length === 0 && (
        <section class="nobody">
          <p class="big">{status === 'open' || status === 'firing' ? 'No alert is open.' : 'No alert matches.'}</p>
        </section>
      )}
      {alerts?.map((one, index) => (
        <AlertCard key={one.id} alert={one} isOpen={!!alert || (one.status === 'firing' && index < OPEN_AT_ONCE)} acknowledge={() => acknowledge(one)} silence={() => setMatches(one.name)} acting={acting} />
      ))}
      {meta && alerts && meta.total > alerts.length && <p class="dim">{meta.total - alerts.length} more: halctl alerts list --limit 0</p>}
      {!alert && <Silences matches={matches} />}
      <Terminal lines={alert ? [`halctl alerts get ${quoted(alert)}`, `halctl alerts ack ${quoted(alert)}`] : [`halctl alerts list --status ${status}`, 'halctl alerts ack ID', "halctl alerts silence add 'NAME' --for 1h --reason WHY", 'halctl alerts silence list']} />
    </>
  );
}

interface CardOf {
  alert: Alert;
  isOpen: boolean;
  acting: Acting;
  acknowledge: () => void;
  silence: () => void;
}

function AlertCard({ alert, isOpen, acting, acknowledge, silence }: CardOf): JSX.Element {
  const isAway = connection.value.state !== 'live';
  const isFiring = alert.status === 'firing';
  return (
    <article class={`card alert ${alert.status} ${alert.severity}`} data-alert={alert.id} aria-labelledby={`l-${alert.id}`}>
      <header>
        <h2 id={`l-${alert.id}`}>
          <a href={href('alerts', String(alert.id))}>
            <Visible text={alert.name} />
          </a>{' '}
          <span class="place">
            <Name text={alert.about} />
          </span>
        </h2>
        <p class="standing">
          <span class={`pill severity ${alert.severity}`}>{alert.severity}</span>
          <span class={`pill ${isFiring ? 'bad' : alert.status === 'resolved' ? 'good' : ''}`}>{alert.status}</span>
          <span class="dim">
            <Ago at={alert.started_at} />
          </span>
        </p>
      </header>
      <p class="alert-text">
        <Visible text={alert.text} />
      </p>
      <p class="dim">
        {alert.lasting ? 'lasts until it no longer holds' : 'happened once: acknowledging resolves it'}
        {alert.count > 1 && `, raised ${alert.count.toLocaleString()} times`}
        {alert.acknowledged_by && (
          <>
            , acknowledged by <Visible text={alert.acknowledged_by} />
          </>
        )}
      </p>
      {isFiring &&
        (may(me.value?.role, 'approver') ? (
          <div class="buttons">
            <button type="button" class="primary" disabled={isAway || acting.state === 'sending'} onClick={acknowledge} aria-label={`Acknowledge ${alert.name} ${alert.about}`}>
              Acknowledge
            </button>
            {may(me.value?.role, 'operator') && (
              <button type="button" onClick={silence} aria-label={`Silence ${alert.name}…`}>
                Silence…
              </button>
            )}
          </div>
        ) : (
          <p class="dim">Acknowledging takes the role approver; yours is {me.value?.role}.</p>
        ))}
      <Told id={alert.id} isOpen={isOpen} changed={alert.changed_at} />
    </article>
  );
}

/** Who was told, and who is next unless somebody acknowledges it. */
function Told({ id, isOpen, changed }: { id: number; isOpen: boolean; changed: string }): JSX.Element {
  const [open, setOpen] = useState(isOpen);
  const [view, setView] = useState<AlertView | undefined>();
  useEffect(() => {
    if (!open || connection.value.state !== 'live') return;
    get<AlertView>(`api/v1/alerts/${id}`).then(setView, () => undefined);
  }, [open, changed, Math.floor(now.value / 10_000)]);
  const told = view?.told ?? [];
  return (
    <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Who was told</summary>
      {view && (
        <ul class="told">
          {told.map((one, index) => (
            <li key={index}>
              <Visible text={one.channel} /> {one.at !== NEVER && <At at={one.at} />}
              {one.step !== undefined && one.step !== null && <span class="dim"> step {one.step} of the escalation</span>}
              {one.why && (
                <span class="dim">
                  {' '}
                  <Visible text={one.why} />
                </span>
              )}
            </li>
          ))}
          {told.length === 0 && <li class="dim">Nobody: no route leads it to a channel, or it is silenced.</li>}
          {view.next && (
            <li>
              <b>next:</b> <Visible text={view.next.channels.join(', ')} /> in {span(Date.parse(view.next.at) - now.value)}, unless somebody acknowledges it
            </li>
          )}
        </ul>
      )}
    </details>
  );
}

const LENGTHS: [string, number][] = [
  ['1 hour', 3_600],
  ['4 hours', 14_400],
  ['1 day', 86_400],
  ['1 week', 604_800],
];

function Silences({ matches }: { matches: string }): JSX.Element {
  const { data, reload } = usePolled<Silence[]>('api/v1/silences', 10);
  const acting = useAct();
  const [text, setText] = useState('');
  const [reason, setReason] = useState('');
  const [seconds, setSeconds] = useState(3_600);
  useEffect(() => {
    if (!matches) return;
    setText(matches);
    document.querySelector<HTMLInputElement>('.silences input[name=matches]')?.focus();
  }, [matches]);
  const isAway = connection.value.state !== 'live';
  const mayIt = may(me.value?.role, 'operator');
  const add = (event: Event) => {
    event.preventDefault();
    if (!text.trim() || isAway) return;
    void acting
      .act('Silence', async () => {
        const made = await post<Silence>('api/v1/silences', { matches: text.trim(), seconds, reason });
        setText('');
        setReason('');
        return `${made.matches} is silenced for ${span(Date.parse(made.until) - now.value)}`;
      })
      .then(reload);
  };
  const expire = (one: Silence) =>
    void acting
      .act('Silence', async () => {
        await post(`api/v1/silences/${part(one.id)}/expire`);
        return `${one.matches} is silenced no more`;
      })
      .then(reload);
  return (
    <section class="panel silences">
      <h2>Silences</h2>
      {data?.length === 0 && <p class="dim">None: every alert that fires is told.</p>}
      <ul class="devices">
        {data?.map((one) => (
          <li key={one.id}>
            <div>
              <code>
                <Visible text={one.matches} />
              </code>
              <p class="dim">
                by <Visible text={one.by} />, ends in {span(Date.parse(one.until) - now.value)} (<At at={one.until} />){one.reason && ': '}
                <Visible text={one.reason} />
              </p>
            </div>
            {mayIt && (
              <button type="button" disabled={isAway} onClick={() => expire(one)} aria-label={`End the silence ${one.matches}`}>
                End
              </button>
            )}
          </li>
        ))}
      </ul>
      {mayIt ? (
        <form class="filters silence" onSubmit={add}>
          <label>
            Which alerts
            <input type="text" name="matches" placeholder="node.offline, disk.*, alert.severity < high" value={text} autocomplete="off" spellcheck={false} onInput={(event) => setText(event.currentTarget.value)} />
          </label>
          <label>
            For
            <select value={String(seconds)} onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
              {LENGTHS.map(([word, value]) => (
                <option key={value} value={String(value)}>
                  {word}
                </option>
              ))}
            </select>
          </label>
          <label>
            Why
            <input type="text" name="reason" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
          </label>
          <button type="submit" disabled={!text.trim() || isAway}>
            Silence
          </button>
        </form>
      ) : (
        <p class="dim">Silencing takes the role operator; yours is {me.value?.role}.</p>
      )}
      <Outcome of={acting} />
    </section>
  );
}
