// The receipt of an approval: what became of it, line by line, as the supervisor has seen it.
import type { JSX } from 'preact';
import type { Approval, ReceiptLine, Stage } from '../words';
import { Visible } from './text';
import { At } from './time';

const WORDS: Record<Stage, string> = {
  asked: 'asked',
  seen: 'seen',
  snoozed: 'snoozed',
  answered: 'answered',
  reached: 'reached the node',
  undelivered: 'did not arrive',
  moved_on: 'the session moved on',
};

const MARKS: Record<Stage, string> = {
  asked: '?',
  seen: '◦',
  snoozed: 'z',
  answered: '✓',
  reached: '✓',
  undelivered: '✕',
  moved_on: '●',
};

function who(line: ReceiptLine): string {
  const word = line.stage === 'reached' || line.stage === 'undelivered' ? 'on' : 'by';
  if (line.stage === 'asked' || line.stage === 'moved_on' || !line.by) return '';
  return ` ${word} ${line.by}${line.over ? ` over ${line.over}` : ''}`;
}

export function Receipt({ approval }: { approval: Approval }): JSX.Element {
  return (
    <ol class="receipt" aria-label="Receipt">
      {approval.receipt.map((line, index) => (
        <li key={index} class={`step ${line.stage}`}>
          <span class="mark" aria-hidden="true">
            {MARKS[line.stage] ?? '·'}
          </span>
          <span>
            <b>{WORDS[line.stage] ?? line.stage}</b>
            <Visible text={who(line)} />
            {line.note && (
              <>
                {': '}
                <Visible text={line.note} />
              </>
            )}
          </span>
          <At at={line.at} />
        </li>
      ))}
    </ol>
  );
}

/** What comes next, while something does. */
export function Next({ approval }: { approval: Approval }): JSX.Element | null {
  const word = {
    waiting: null,
    answered: `on its way to ${approval.node_id} …`,
    reached: 'the node has it; waiting for the session to move on …',
    settled: null,
    undelivered: null,
    lapsed: null,
  }[approval.state];
  return word ? (
    <p class="next">
      <span class="spinner" aria-hidden="true" /> {word}
    </p>
  ) : null;
}
