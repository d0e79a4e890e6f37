import type { TokenIdentity } from '../wire/messages.js'
import { ERROR_CLASSES, type ErrorClass, type ProfileRow, type VendorProfile } from './classes.js'
import { BY_FUNCTION, ERROR_TABLE, VENDORS } from './table.js'

const BY_CODE: ReadonlyMap<number, ErrorClass> = new Map(
  ERROR_CLASSES.flatMap((name) => ERROR_TABLE[name].map((code) => [code, name] as const)),
)

/**
 * The class of a return value. `fn` is the Cryptoki function that returned it. A vendor's row for one function precedes
 * its row for all functions; both precede the standard table. Codes without a row, vendor-defined ones among them, are
 * `general`.
 */
export function classifyCkr(code: number, fn: string, profile: readonly ProfileRow[] = []): ErrorClass {
  const row = rowOf(profile, code, fn) ?? rowOf(BY_FUNCTION, code, fn)
  return row?.class ?? BY_CODE.get(code) ?? 'general'
}

function rowOf(rows: readonly ProfileRow[], code: number, fn: string): ProfileRow | undefined {
  return (
    rows.find((row) => row.code === code && row.fn === fn) ??
    rows.find((row) => row.code === code && row.fn === undefined)
  )
}

/** The profile of the token's vendor, by the descriptions of token and library; undefined: the standard table alone. */
export function profileOf(token: Pick<TokenIdentity, 'manufacturer' | 'model' | 'module'>): VendorProfile | undefined {
  const fits = (pattern: RegExp | undefined, text: string) => pattern?.test(text) ?? true
  return VENDORS.find(({ match }) =>
    match.some(
      ({ manufacturer, model, library }) =>
        fits(manufacturer, token.manufacturer) && fits(model, token.model) && fits(library, token.module),
    ),
  )
}
