// Money, tokens and bytes. What nobody knows is unknown, and never zero.
import type { JSX } from 'preact';

/** Dollars of millionths, exactly where they are small. */
export function dollars(micros: number): string {
  const value = micros / 1_000_000;
  const digits = value !== 0 && Math.abs(value) < 0.1 ? 4 : 2;
  return new Intl.NumberFormat(undefined, { style: 'currency', currency: 'USD', currencyDisplay: 'narrowSymbol', minimumFractionDigits: 2, maximumFractionDigits: digits }).format(value);
}

export function Money({ micros }: { micros: number | null | undefined }): JSX.Element {
  return micros === null || micros === undefined ? <span class="dim">unknown</span> : <>{dollars(micros)}</>;
}

/** A number in at most four digits: 12.3k. */
export function short(count: number): string {
  return new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 }).format(count);
}

export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [value, unit] = [count, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value.toLocaleString(undefined, { maximumFractionDigits: value < 10 && unit > 0 ? 1 : 0 })} ${units[unit]}`;
}

/** How much of something is used. */
export function Bar({ used, limit, of }: { used: number; limit?: number | undefined; of: string }): JSX.Element {
  if (!limit) {
    return (
      <span class="dim" title={`${of}: the limit is not known`}>
        {short(used)}
      </span>
    );
  }
  const part = Math.min(1, used / limit);
  const percent = `${Math.round(part * 100)} %`;
  return (
    <span class={`bar${part >= 0.85 ? ' full' : ''}`} title={`${of}: ${used.toLocaleString()} of ${limit.toLocaleString()}`}>
      <meter min={0} max={1} value={part} aria-label={`${of}: ${percent}`} />
      <span aria-hidden="true">{percent}</span>
    </span>
  );
}
