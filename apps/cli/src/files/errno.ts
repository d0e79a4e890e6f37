import { effectiveUser } from '@sealfleet/failures'
import { printable } from '../output/printable.js'

/** The sentence about missing rights: the folder or file that refuses, and who has no right. */
export function mayNotBeRead(refuses: string): string {
  return `${printable(refuses)} may not be read by ${printable(effectiveUser())}`
}

/** True when `error` is a system error with one of these codes (`ENOENT`, …). */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '')
}

/** The code of a system error, undefined for any other. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) && 'syscall' in (error as object) ? code : undefined
}
