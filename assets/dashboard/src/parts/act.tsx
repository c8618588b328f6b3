// A change that is asked for: what became of it, in the supervisor's words. Nothing is tried again by itself.
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { NoAnswer, sentence } from '../api/call';
import { Visible } from './text';

export interface Acting {
  word: string;
  state: 'none' | 'sending' | 'told' | 'refused' | 'unknown';
  said: string;
  /** Asks for it; `told` says in words what the answer is. True when it was taken. */
  act: (word: string, ask: () => Promise<string>) => Promise<boolean>;
}

export function useAct(): Acting {
  const [known, setKnown] = useState<Omit<Acting, 'act'>>({ word: '', state: 'none', said: '' });
  const act = async (word: string, ask: () => Promise<string>) => {
    setKnown({ word, state: 'sending', said: '' });
    try {
      setKnown({ word, state: 'told', said: await ask() });
      return true;
    } catch (error) {
      const isUnknown = error instanceof NoAnswer;
      setKnown({ word, state: isUnknown ? 'unknown' : 'refused', said: isUnknown ? 'no answer: whether it arrived is not known; look before you ask again' : sentence(error) });
      return false;
    }
  };
  return { ...known, act };
}

export function Outcome({ of }: { of: Acting }): JSX.Element | null {
  if (of.state === 'none') return null;
  return (
    <p class={`sent ${of.state}`} role="status">
      {of.state === 'sending' && <span class="spinner" aria-hidden="true" />} <b>{of.word}:</b> <Visible text={of.state === 'sending' ? 'sent …' : of.said} />
    </p>
  );
}

/** A button that asks once more before it does something. */
export function Sure({ word, asks, isAway, act }: { word: string; asks: string; isAway: boolean; act: () => void }): JSX.Element {
  const [isAsking, setAsking] = useState(false);
  if (!isAsking) {
    return (
      <button type="button" disabled={isAway} onClick={() => setAsking(true)}>
        {word}…
      </button>
    );
  }
  return (
    <div class="form asked" role="group" aria-label={word}>
      <p>{asks}</p>
      <button
        type="button"
        class="danger"
        disabled={isAway}
        onClick={() => {
          setAsking(false);
          act();
        }}
      >
        {word} now
      </button>
      <button type="button" onClick={() => setAsking(false)}>
        Cancel
      </button>
    </div>
  );
}
