// The questions of an approval: a choice for each, or own words.
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { Visible } from '../parts/text';
import type { Approval } from '../words';

interface Props {
  approval: Approval;
  cannot: string;
  send: (answers: string[][]) => void;
}

export function Questions({ approval, cannot, send }: Props): JSX.Element {
  const questions = approval.questions?.length ? approval.questions : [{ question: approval.what, options: [] }];
  const [chosen, setChosen] = useState<Record<number, string>>({});
  const [own, setOwn] = useState<Record<number, string>>({});
  const answers = questions.map((_, index) => (own[index]?.trim() || chosen[index]) ?? '');
  const isWhole = answers.every((answer) => answer !== '');
  const submit = (event: Event) => {
    event.preventDefault();
    if (!cannot && isWhole) send(answers.map((answer) => [answer]));
  };
  return (
    <form class="questions" onSubmit={submit}>
      {questions.map((one, index) => (
        <fieldset key={index}>
          <legend>
            <Visible text={one.question} />
          </legend>
          {one.options.map((option) => (
            <label key={option.label} class="choice">
              <input
                type="radio"
                name={`q-${approval.id}-${index}`}
                checked={!own[index] && chosen[index] === option.label}
                onChange={() => {
                  setChosen({ ...chosen, [index]: option.label });
                  setOwn({ ...own, [index]: '' });
                }}
              />
              <span>
                <b>
                  <Visible text={option.label} />
                </b>{' '}
                <span class="dim">
                  <Visible text={option.description} />
                </span>
              </span>
            </label>
          ))}
          <label class="own">
            {one.options.length > 0 ? 'or in your own words' : 'Your answer'}
            <input type="text" value={own[index] ?? ''} onInput={(event) => setOwn({ ...own, [index]: event.currentTarget.value })} />
          </label>
        </fieldset>
      ))}
      <button type="submit" class="primary" data-act="answer" disabled={!!cannot || !isWhole} title={cannot || (isWhole ? '' : 'choose an answer to each question')}>
        Answer
      </button>
    </form>
  );
}
