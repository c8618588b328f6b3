// What agents write, as text: paragraphs keep their lines, fenced code stands in blocks. Nothing of it becomes markup.
import type { JSX } from 'preact';
import { Visible } from './text';

/** Without the escapes that colour a terminal; whatever else is hidden is named. */
export function plain(text: string): string {
  return text.replaceAll(/\u001b\[[0-9;]*m/g, '').replaceAll('\r\n', '\n');
}

interface Piece {
  isCode: boolean;
  language: string;
  text: string;
}

/** Splits at lines of three backticks or tildes. A fence that nobody closes goes on to the end. */
export function pieces(text: string): Piece[] {
  const out: Piece[] = [];
  let open = '';
  let lines: string[] = [];
  let language = '';
  const close = (isCode: boolean) => {
    const its = isCode ? lines.join('\n') : lines.join('\n').replace(/^\n+|\n+$/g, '');
    if (its !== '' || isCode) out.push({ isCode, language, text: its });
    lines = [];
    language = '';
  };
  for (const line of text.split('\n')) {
    const fence = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/.exec(line);
    if (fence?.[1] && !open) {
      close(false);
      open = fence[1];
      language = (fence[2] ?? '').trim().slice(0, 30);
    } else if (open && fence?.[1]?.startsWith(open) && !fence[2]) {
      close(true);
      open = '';
    } else {
      lines.push(line);
    }
  }
  close(open !== '');
  return out;
}

export function Prose({ text }: { text: string }): JSX.Element {
  return (
    <div class="prose">
      {pieces(plain(text)).map((piece, index) =>
        piece.isCode ? (
          <pre key={index} tabIndex={0} aria-label={piece.language ? `code: ${piece.language}` : 'code'}>
            <Visible text={piece.text} />
          </pre>
        ) : (
          <p key={index}>
            <Visible text={piece.text} />
          </p>
        ),
      )}
    </div>
  );
}
