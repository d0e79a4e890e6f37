import type { Expect } from '../wire/messages.js'

/** Adds what `news` says of its key to what is known; what it leaves open stays known. @returns whether anything is new */
export function rememberExpectedKey(known: Map<string, Expect>, news: Expect): boolean {
  const { label } = news
  const before = known.get(label) ?? { label }
  const after: Expect = {
    label,
    kcv: news.kcv ?? before.kcv,
    answer: news.answer ?? before.answer,
    ckaId: news.ckaId ?? before.ckaId,
    record: news.record ?? before.record,
  }
  known.set(label, after)
  return (['kcv', 'answer', 'ckaId', 'record'] as const).some((name) => after[name] !== before[name])
}
