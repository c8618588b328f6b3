// One entry of a conversation: words, a tool at work, a question, a failure. All of it is text.
import { Component, type JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Entry, EntryKind, ToolCard } from '../conversation';
import { short } from '../parts/amount';
import { Prose, plain } from '../parts/prose';
import { Visible } from '../parts/text';
import { At } from '../parts/time';

const LABELS: Partial<Record<EntryKind, string>> = {
  asked: 'asks',
  answered: 'answered',
  failed: 'failed',
  retry: 'retry',
  gap: 'gap',
  files: 'files',
};

const STATES: Record<string, [string, string]> = {
  pending: ['○', 'is being written'],
  running: ['▶', 'runs'],
  completed: ['✓', 'done'],
  error: ['✕', 'failed'],
};

interface Shown {
  entry: Entry;
  by: string;
  /** True where somebody else begins to speak. */
  isNew: boolean;
}

/** Drawn again only where it is another one: a conversation has many. */
export class EntryView extends Component<Shown> {
  override shouldComponentUpdate(next: Shown): boolean {
    const { entry, by, isNew } = this.props;
    return entry !== next.entry || by !== next.by || isNew !== next.isNew;
  }

  override render(): JSX.Element {
    return <Whole {...this.props} />;
  }
}

function Whole({ entry, by, isNew }: Shown): JSX.Element | null {
  switch (entry.kind) {
    case 'text':
      return (
        <article class={`said ${by}`} id={`e-${entry.seq}`} tabIndex={-1}>
          {isNew && (
            <p class="speaker">
              <b>{by}</b> <At at={entry.at} />
            </p>
          )}
          <Prose text={entry.text ?? ''} />
          {entry.is_growing && <span class="caret" aria-hidden="true" />}
          <Cut count={entry.cut} />
        </article>
      );
    case 'thought':
      return (
        <details class="thought">
          <summary>
            <span class="one">
              thinking: <Visible text={(entry.text ?? '').slice(0, 160).replaceAll('\n', ' ')} />
            </span>
          </summary>
          <Prose text={entry.text ?? ''} />
          <Cut count={entry.cut} />
        </details>
      );
    case 'tool':
      return entry.tool ? <Tool tool={entry.tool} cut={entry.cut} /> : null;
    case 'usage':
      return <Usage entry={entry} />;
    default:
      return (
        <p class={`line-of ${entry.kind}`}>
          {LABELS[entry.kind] && <b>{LABELS[entry.kind]}</b>}{' '}
          <span class="text">
            <Visible text={entry.text ?? ''} />
          </span>{' '}
          <At at={entry.at} />
        </p>
      );
  }
}

function Cut({ count }: { count?: number | undefined }): JSX.Element | null {
  return count ? <p class="dim">{count.toLocaleString()} more characters are not shown here.</p> : null;
}

function Tool({ tool, cut }: { tool: ToolCard; cut?: number | undefined }): JSX.Element {
  const [isOpen, setOpen] = useState(false);
  const hasFailed = tool.state === 'error' || (tool.exit !== undefined && tool.exit !== 0);
  const [mark, word] = hasFailed ? ['✕', 'failed'] : (STATES[tool.state] ?? ['·', 'state unknown']);
  return (
    <details class={`tool ${hasFailed ? 'bad' : tool.state}`} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <span class="one">
          <span class="mark" title={word}>
            <span aria-hidden="true">{mark}</span>
            <span class="unseen">{word}:</span>
          </span>{' '}
          <b>
            <Visible text={tool.name} />
          </b>{' '}
          <code>
            <Visible text={tool.title} />
          </code>
        </span>
      </summary>
      {isOpen && (
        <>
          {tool.input && <Block label="given" text={tool.input} />}
          {tool.output && <Block label="gave" text={tool.output} />}
          {tool.error && <Block label="failed" text={tool.error} />}
          {tool.exit !== undefined && <p class="dim">exit code {tool.exit}</p>}
          <Cut count={cut} />
        </>
      )}
    </details>
  );
}

function Block({ label, text }: { label: string; text: string }): JSX.Element {
  return (
    <figure class="block">
      <figcaption>{label}</figcaption>
      <pre tabIndex={0} aria-label={label}>
        <Visible text={plain(text)} />
      </pre>
    </figure>
  );
}

function Usage({ entry }: { entry: Entry }): JSX.Element | null {
  const usage = entry.usage;
  if (!usage) return null;
  const tokens = Object.values(usage.tokens).reduce((sum, count) => sum + count, 0);
  const cost = usage.cost === null || usage.cost === undefined ? 'cost unknown' : `$${usage.cost.toFixed(4)}`;
  const seconds = usage.seconds === undefined ? '' : ` · ${usage.seconds.toFixed(usage.seconds < 10 ? 1 : 0)} s`;
  return (
    <p class="usage">
      <Visible text={usage.model} /> · {short(tokens)} tokens · {cost}
      {seconds}
    </p>
  );
}
