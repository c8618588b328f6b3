// A line for a terminal, and a button that copies it.
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';

/** A word as a shell takes it for one. */
export function quoted(word: string): string {
  return /^[A-Za-z0-9._\-/+,:@%]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function Line({ text }: { text: string }): JSX.Element {
  const [copied, setCopied] = useState('');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied('copied');
    } catch {
      // Browsers give the clipboard to pages by TLS or of this machine only.
      setCopied('select it');
    }
    window.setTimeout(() => setCopied(''), 2_000);
  };
  return (
    <div class="line">
      <code>{text}</code>
      <button type="button" class="quiet" onClick={copy} aria-label={`copy: ${text}`}>
        {copied || 'copy'}
      </button>
    </div>
  );
}

/** The same at a terminal. */
export function Terminal({ lines }: { lines: string[] }): JSX.Element {
  return (
    <details class="terminal">
      <summary>At a terminal</summary>
      {lines.map((line) => (
        <Line key={line} text={line} />
      ))}
    </details>
  );
}
