// Money: what was used, by whom, what it will come to, and what may still be spent. What nobody knows is unknown.
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { part, post } from '../api/call';
import { connection, me } from '../live/store';
import { Outcome, useAct } from '../parts/act';
import { Money, dollars, short } from '../parts/amount';
import { Terminal, quoted } from '../parts/copy';
import { usePolled } from '../parts/polled';
import { csv, save } from '../parts/save';
import { Name, Visible } from '../parts/text';
import { Ago } from '../parts/time';
import { href, refine, search } from '../route';
import { NEVER, may, type Amount, type BudgetView, type CostPart, type CostReport, type Exposure } from '../words';

const PERIODS: [string, string][] = [
  ['today', 'today (UTC)'],
  ['week', '7 days'],
  ['month', '30 days'],
];

type By = 'model' | 'project' | 'node' | 'session' | 'provider';
const BYS: By[] = ['model', 'project', 'node', 'session', 'provider'];

/** Rows of a table before somebody asks for more. */
const FEW = 20;

const usd = (dollar: number) => dollars(Math.round(dollar * 1_000_000));

function refined(name: string, value: string): void {
  const next = new URLSearchParams(search.value);
  if (value) next.set(name, value);
  else next.delete(name);
  refine(next);
}

export function MoneyScreen(): JSX.Element {
  const query = new URLSearchParams(search.value);
  const period = PERIODS.some(([word]) => word === query.get('period')) ? (query.get('period') ?? 'today') : 'today';
  const by = BYS.includes(query.get('by') as By) ? (query.get('by') as By) : 'model';
  const { data: report, why } = usePolled<CostReport>(`api/v1/cost?period=${period}`, 10);
  return (
    <>
      <h1 tabIndex={-1}>Money</h1>
      <div class="chips" role="group" aria-label="Period">
        {PERIODS.map(([word, label]) => (
          <button key={word} type="button" class="chip" aria-pressed={period === word} onClick={() => refined('period', word === 'today' ? '' : word)}>
            {label}
          </button>
        ))}
      </div>
      {why && (
        <p class="warning" role="alert">
          <Visible text={why} />
        </p>
      )}
      {!report && !why && <p class="dim">Asking the supervisor …</p>}
      {report && <Total report={report} />}
      {report && <Parts report={report} by={by} />}
      {report && report.days.length > 1 && <Days report={report} />}
      <Budgets />
      {report && <Fresh report={report} />}
      <Terminal lines={[`halctl cost ${period} --by ${by}`, 'halctl cost exposure', 'halctl budgets list', 'halctl budgets raise NAME --by USD']} />
    </>
  );
}

/** Where nothing was used, nothing is unknown. */
function Used({ amount }: { amount: Amount }): JSX.Element {
  const isNothing = amount.cost_micros === null && amount.tokens === 0 && amount.unreported_calls === 0;
  return isNothing ? <>nothing used</> : <Money micros={amount.cost_micros} />;
}

/** What is in no sum, because nobody knows it. */
function Unknown({ amount }: { amount: Amount }): JSX.Element | null {
  const { unreported_calls: calls, unpriced_tokens: tokens } = amount;
  if (calls === 0 && tokens === 0) return null;
  return (
    <p class="warning">
      Not in this sum, as nobody knows it:
      {calls > 0 && ` ${calls.toLocaleString()} ${calls === 1 ? 'call' : 'calls'} of a model of which nothing was reported`}
      {calls > 0 && tokens > 0 && ','}
      {tokens > 0 && ` ${short(tokens)} tokens without a known price`}.
    </p>
  );
}

function Total({ report }: { report: CostReport }): JSX.Element {
  const { total, before, end_of_day: day, end_of_month: month } = report;
  return (
    <section class="panel total" aria-label="Total">
      <p class="sum-of-money">
        <b>
          <Used amount={total} />
        </b>{' '}
        <span class="dim">
          {report.from === report.to ? `${report.from} UTC` : `${report.from} to ${report.to} UTC`}, {short(total.tokens)} tokens, {report.session_count.toLocaleString()} {report.session_count === 1 ? 'session' : 'sessions'}
        </span>
      </p>
      <Unknown amount={total} />
      <dl class="facts">
        {total.estimated_usd > 0 && (
          <div>
            <dt>of it from a price table</dt>
            <dd>{usd(total.estimated_usd)}</dd>
          </div>
        )}
        {total.api_equivalent_usd > 0 && (
          <div>
            <dt>covered by a subscription, at the API's prices</dt>
            <dd>{usd(total.api_equivalent_usd)}</dd>
          </div>
        )}
        <div>
          <dt>
            before ({before.from === before.to ? before.from : `${before.from} to ${before.to}`})
          </dt>
          <dd>
            <Used amount={before} />
            {before.cost_micros !== null && total.cost_micros !== null && ` (${before.change_usd >= 0 ? '+' : '−'}${usd(Math.abs(before.change_usd))})`}
          </dd>
        </div>
        {day && (
          <div>
            <dt>by the end of the day</dt>
            <dd>
              {usd(day.expected_usd)} ({usd(day.low_usd)} to {usd(day.high_usd)})
            </dd>
          </div>
        )}
        {month && (
          <div>
            <dt>by the end of the month</dt>
            <dd>
              {usd(month.expected_usd)} ({usd(month.low_usd)} to {usd(month.high_usd)})
            </dd>
          </div>
        )}
      </dl>
    </section>
  );
}

const nameOf = (part: CostPart) => part.session_id ?? part.node_id ?? part.project ?? (part.model !== undefined ? `${part.provider ?? ''}/${part.model}` : (part.provider ?? ''));

function Parts({ report, by }: { report: CostReport; by: By }): JSX.Element {
  const [most, setMost] = useState(FEW);
  const parts = { model: report.by_model, project: report.by_project, node: report.by_node, session: report.by_session, provider: report.by_provider }[by];
  const name = (one: CostPart) => <Name text={nameOf(one) || '(none)'} />;
  const download = () => save(`hal-cost-${report.from}-${report.to}-by-${by}.csv`, 'text/csv', csv(parts.map((one) => ({ [by]: nameOf(one), cost_usd: one.cost_usd, tokens: one.tokens, unpriced_tokens: one.unpriced_tokens, unreported_calls: one.unreported_calls }))));
  return (
    <section class="panel">
      <div class="chips" role="group" aria-label="Grouped by">
        {BYS.map((word) => (
          <button key={word} type="button" class="chip" aria-pressed={by === word} onClick={() => refined('by', word === 'model' ? '' : word)}>
            by {word}
          </button>
        ))}
        <button type="button" class="quiet" onClick={download}>
          CSV
        </button>
      </div>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">{by}</th>
              <th scope="col" class="number">
                Tokens
              </th>
              <th scope="col" class="number">
                Cost
              </th>
            </tr>
          </thead>
          <tbody>
            {parts.slice(0, most).map((one) => (
              <tr key={nameOf(one)}>
                <th scope="row">{one.session_id ? <a href={href('sessions', one.session_id)}>{name(one)}</a> : one.node_id ? <a href={href('nodes', one.node_id)}>{name(one)}</a> : name(one)}</th>
                <td class="number">{short(one.tokens)}</td>
                <td class="number">
                  <Money micros={one.cost_micros} />
                  {(one.unreported_calls > 0 || one.unpriced_tokens > 0) && one.cost_micros !== null && <span title="some of it is unknown"> + unknown</span>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {parts.length === 0 && <p class="dim">Nothing was used.</p>}
      {parts.length > most && (
        <button type="button" onClick={() => setMost(1_000)}>
          Show all {parts.length}
        </button>
      )}
    </section>
  );
}

function Days({ report }: { report: CostReport }): JSX.Element {
  const most = Math.max(1, ...report.days.map((day) => day.cost_micros ?? 0));
  return (
    <details class="panel">
      <summary>Day by day (UTC)</summary>
      <table>
        <thead>
          <tr>
            <th scope="col">Day</th>
            <th scope="col">Share</th>
            <th scope="col" class="number">
              Cost
            </th>
          </tr>
        </thead>
        <tbody>
          {report.days.map((day) => (
            <tr key={day.date}>
              <th scope="row">{day.date}</th>
              <td>
                <meter class="wide" min={0} max={most} value={day.cost_micros ?? 0} aria-label={`${day.date}: ${day.cost_micros === null ? 'unknown' : dollars(day.cost_micros)}`} />
              </td>
              <td class="number">
                <Money micros={day.cost_micros} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

function Budgets(): JSX.Element {
  const { data: budgets, reload } = usePolled<BudgetView[]>('api/v1/budgets', 10);
  const { data: exposure } = usePolled<Exposure>('api/v1/cost/exposure', 10);
  return (
    <section class="panel">
      <h2>Budgets, and what can still be spent</h2>
      {exposure && (
        <p>
          {exposure.most_micros === null ? (
            <>
              <b>No limit:</b> {exposure.unlimited_sessions.toLocaleString()} {exposure.unlimited_sessions === 1 ? 'session runs' : 'sessions run'} without a budget that stops {exposure.unlimited_sessions === 1 ? 'it' : 'them'}.
            </>
          ) : (
            <>
              At most <b>{dollars(exposure.most_micros)}</b> can still be spent under these budgets
            </>
          )}{' '}
          <span class="dim">{dollars(exposure.outstanding_micros)} is lent to sessions now.</span>
        </p>
      )}
      {budgets?.length === 0 && <p class="dim">There is no budget. In the configuration, or: halctl budgets set NAME --limit USD</p>}
      <ul class="devices">
        {budgets?.slice(0, 200).map((one) => (
          <Budget key={`${one.name} ${one.session_id}`} budget={one} reload={reload} />
        ))}
      </ul>
      {budgets && budgets.length > 0 && !may(me.value?.role, 'admin') && <p class="dim">Raising a budget takes the role admin; yours is {me.value?.role}.</p>}
    </section>
  );
}

function Budget({ budget, reload }: { budget: BudgetView; reload: () => void }): JSX.Element {
  const used = budget.spent_micros + budget.outstanding_micros;
  const isNear = used >= budget.limit_micros * 0.85;
  return (
    <li class="budget">
      <div>
        <b>
          <Name text={budget.name} />
        </b>{' '}
        <span class="dim">
          <Visible text={budget.scope} />
          {budget.session_id && (
            <>
              {' '}
              <a href={href('sessions', budget.session_id)}>
                <Name text={budget.session_id} />
              </a>
            </>
          )}
          , per {budget.period} ({budget.current})
        </span>
        <p>
          <span class={`bar${isNear ? ' full' : ''}`}>
            <meter class="wide" min={0} max={Math.max(1, budget.limit_micros)} value={Math.min(used, budget.limit_micros)} aria-label={`${budget.name}: ${dollars(used)} of ${dollars(budget.limit_micros)}`} />
          </span>{' '}
          {dollars(budget.spent_micros)} spent, {dollars(budget.outstanding_micros)} lent, {dollars(budget.free_micros)} free of {dollars(budget.limit_micros)}
          {budget.raised_micros > 0 && ` (raised by ${dollars(budget.raised_micros)})`}; at the limit: {budget.at_limit.replace('_', ' ')}
        </p>
      </div>
      {may(me.value?.role, 'admin') && <Raise budget={budget} reload={reload} />}
    </li>
  );
}

/** More until the end of its period. Asked for twice it would be twice as much: so it is never tried again by itself. */
function Raise({ budget, reload }: { budget: BudgetView; reload: () => void }): JSX.Element {
  const [isOpen, setOpen] = useState(false);
  const [by, setBy] = useState('');
  const acting = useAct();
  const micros = Math.round(Number(by.replace(',', '.')) * 1_000_000);
  const isMeant = Number.isFinite(micros) && micros > 0;
  const isAway = connection.value.state !== 'live';
  const raise = (event: Event) => {
    event.preventDefault();
    if (!isMeant || isAway || acting.state === 'sending') return;
    void acting
      .act(`Raise ${budget.name}`, async () => {
        await post(`api/v1/budgets/${part(budget.name)}/raise`, { by_micros: micros, ...(budget.session_id ? { session_id: budget.session_id } : {}) });
        setOpen(false);
        setBy('');
        return `by ${dollars(micros)} until the end of its ${budget.period}`;
      })
      .then(reload);
  };
  return (
    <>
      {isOpen ? (
        <form class="form" onSubmit={raise}>
          <label>
            Raise {budget.name} by, in US dollars
            <input type="text" name="by" inputMode="decimal" value={by} autocomplete="off" onInput={(event) => setBy(event.currentTarget.value)} />
          </label>
          <button type="submit" class="primary" disabled={!isMeant || isAway}>
            Raise{isMeant ? ` by ${dollars(micros)}` : ''}
          </button>
          <button type="button" onClick={() => setOpen(false)}>
            Cancel
          </button>
        </form>
      ) : (
        <button type="button" disabled={isAway} onClick={() => setOpen(true)} aria-label={`Raise ${budget.name}…`}>
          Raise…
        </button>
      )}
      <Outcome of={acting} />
      {isOpen && <Terminal lines={[`halctl budgets raise ${quoted(budget.name)} --by ${by || 'USD'}${budget.session_id ? ` --session ${quoted(budget.session_id)}` : ''}`]} />}
    </>
  );
}

function Fresh({ report }: { report: CostReport }): JSX.Element {
  const late = report.freshness.filter((one) => !['live', 'ok'].includes(one.state));
  return (
    <details class="panel" open={late.length > 0 && late.length <= 5}>
      <summary>How fresh these numbers are{late.length > 0 ? `: ${late.length} behind` : ''}</summary>
      <ul class="told">
        {(late.length > 0 ? late : report.freshness).slice(0, 100).map((one) => (
          <li key={one.source}>
            <Visible text={one.source} />: <b>{one.state}</b>
            {one.as_of !== NEVER && (
              <>
                , complete up to <Ago at={one.as_of} />
              </>
            )}
            {one.note && (
              <span class="dim">
                {' '}
                <Visible text={one.note} />
              </span>
            )}
          </li>
        ))}
      </ul>
    </details>
  );
}
