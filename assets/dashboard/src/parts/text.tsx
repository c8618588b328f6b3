// Text that somebody else has written: shown as text, with every character that hides or misleads made visible.
import type { ComponentChildren, JSX } from 'preact';

/** Characters that are not seen, or that change how others are seen. Line ends and tabs are not among them. */
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff]|[\u{1d173}-\u{1d17a}]|[\u{e0000}-\u{e0fff}]|[\ud800-\udfff]/gu;

const NAMES: Record<number, string> = {
  0x00: 'NUL',
  0x07: 'BEL',
  0x08: 'BS',
  0x0d: 'CR',
  0x1b: 'ESC',
  0x7f: 'DEL',
  0xa0: 'NBSP',
  0xad: 'SHY',
  0x200b: 'ZWSP',
  0x200c: 'ZWNJ',
  0x200d: 'ZWJ',
  0x200e: 'LRM',
  0x200f: 'RLM',
  0x202a: 'LRE',
  0x202b: 'RLE',
  0x202c: 'PDF',
  0x202d: 'LRO',
  0x202e: 'RLO',
  0x2066: 'LRI',
  0x2067: 'RLI',
  0x2068: 'FSI',
  0x2069: 'PDI',
  0xfeff: 'BOM',
};

/** How many characters of a text are hidden ones. */
export function countHidden(text: string): number {
  return text.match(HIDDEN)?.length ?? 0;
}

function nameOf(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return NAMES[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** A text with its hidden characters named. */
export function Visible({ text }: { text: string }): JSX.Element {
  const out: ComponentChildren[] = [];
  let end = 0;
  for (const match of text.matchAll(HIDDEN)) {
    out.push(text.slice(end, match.index));
    const name = nameOf(match[0]);
    out.push(
      <mark class="hidden-char" title={`hidden character ${name}`}>
        {name}
      </mark>,
    );
    end = match.index + match[0].length;
  }
  out.push(text.slice(end));
  return <>{out}</>;
}

/** A name or a title, on one line, isolated from what stands beside it. */
export function Name({ text }: { text: string }): JSX.Element {
  return (
    <bdi class="name" title={text}>
      <Visible text={text} />
    </bdi>
  );
}
