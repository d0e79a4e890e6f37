import type { Expect } from '../wire/messages.js'

/** Merges `news` about its key into `known`; absent fields keep their known values. @returns whether anything is new */
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
