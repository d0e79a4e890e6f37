import { z } from 'zod'
import type { Content } from './file-trust.js'
import { Secret } from './secret.js'

/**
 * One environment variable: its name, its expected form, and the schema that turns its text into a value. The table in
 * the README is checked against these definitions, and every message about a variable is made from them.
 */
export interface Variable<T> {
  readonly name: `SEALFLEET_${string}`
  /** its purpose, for the documented table */
  readonly description: string
  /** its expected text, as the end of "It wants …" */
  readonly expects: string
  readonly example: string
  readonly schema: z.ZodType<T, string>
  /**
   * used when the variable isn't set, as an operator would write it; without it (and not optional) the variable is
   * required
   */
  readonly fallback?: string
  /** may stay unset: the value is then undefined */
  readonly optional?: boolean
  /** never shown in a message, and may also be given as NAME_FILE */
  readonly secret?: boolean
  /** for a secret that another process reads: NAME_FILE's path becomes the value and the file is never opened here */
  readonly fromPath?: (path: string) => T
  /** the text is the path of a file, whose content goes to `schema` and is never shown */
  readonly file?: Content
}

/** The shape of a section: property → the variable it is read from. */
export type Variables = Readonly<Record<string, Variable<unknown>>>

/** The values of a section. */
export type Values<V extends Variables> = { readonly [K in keyof V]: V[K] extends Variable<infer T> ? T : never }

type Definition<T> = Omit<Variable<T>, 'fallback' | 'optional' | 'secret' | 'fromPath' | 'file'>

export function required<T>(definition: Definition<T>): Variable<T> {
  return definition
}

export function optional<T>(definition: Definition<T>): Variable<T | undefined> {
  return { ...definition, optional: true }
}

export function withDefault<T>(fallback: string, definition: Definition<T>): Variable<T> {
  return { ...definition, fallback }
}

/** A variable that names a file: its content goes to `schema`. */
export function optionalFile<T>(content: Content, definition: Definition<T>): Variable<T | undefined> {
  return { ...definition, optional: true, file: content }
}

/** A required secret, as NAME or NAME_FILE. `schema` checks the text before it is wrapped. */
export function requiredSecret(
  definition: Omit<Definition<string>, 'schema'> & { schema?: z.ZodType<string, string> },
): Variable<Secret> {
  const schema = (definition.schema ?? text).transform((value) => new Secret(value))
  return { ...definition, schema, secret: true }
}

/** Any text without NUL; the reader has already refused the empty one. */
export const text = z.string().refine((value) => !value.includes('\0'), { error: 'holds a NUL byte' })

/** A whole number of `min` to `max`, in plain digits. */
export function wholeNumber(min: number, max: number): z.ZodType<number, string> {
  return z
    .string()
    .regex(/^\d{1,15}$/, { error: 'is not a whole number' })
    .transform(Number)
    .refine((value) => value >= min && value <= max, { error: `is not between ${min} and ${max}` })
}

export const flag = z
  .enum(['true', 'false', '1', '0'], { error: 'is neither true nor false' })
  .transform((value) => value === 'true' || value === '1')

const UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }

/** A number of bytes of `min` to `max`: plain, or with KiB, MiB or GiB. */
export function byteSize(min: number, max: number): z.ZodType<number, string> {
  return z
    .string()
    .regex(/^\d{1,12}(KiB|MiB|GiB)?$/, { error: 'is not a size such as 8388608 or 8MiB' })
    .transform((value) => {
      const digits = /^\d+/.exec(value)?.[0] ?? ''
      return Number(digits) * (UNITS[value.slice(digits.length)] ?? Number.NaN)
    })
    .refine((value) => value >= min && value <= max, { error: `is not between ${min} and ${max} bytes` })
}
