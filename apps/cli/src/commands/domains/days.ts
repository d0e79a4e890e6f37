import { InvalidArgumentError, Option } from 'commander'

/** A hundred years; the records refuse more. */
const MOST_DAYS = 36_500

/** The option's value for the word that means none: commander would turn null into an empty text. */
export type Days = number | 'none'

/** An option that takes a number of days, or a word for none. */
export function daysOption(flags: string, description: string, none: string): Option {
  return new Option(flags, description).argParser((text): Days => {
    if (text === none) return 'none'
    const value = Number(text)
    if (!/^\d{1,5}$/.test(text) || value < 1 || value > MOST_DAYS)
      throw new InvalidArgumentError(`It must be a whole number of days from 1 to ${MOST_DAYS}, or ${none}.`)
    return value
  })
}

export function daysOf(given: Days | undefined): number | null | undefined {
  return given === 'none' ? null : given
}

/** A period as text for people. */
export function daysText(days: number | null, none: string): string {
  return days === null ? none : `${days} day${days === 1 ? '' : 's'}`
}
