import { InvalidArgumentError, Option } from 'commander'

/** A hundred years; the records refuse more. */
const MOST_DAYS = 36_500

/** An option that wants days, or a word for none, which is null. */
export function daysOption(flags: string, description: string, none: string): Option {
  return new Option(flags, description).argParser((text): number | null => {
    if (text === none) return null
    const value = Number(text)
    if (!/^\d{1,5}$/.test(text) || value < 1 || value > MOST_DAYS)
      throw new InvalidArgumentError(`It wants a whole number of days from 1 to ${MOST_DAYS}, or ${none}.`)
    return value
  })
}

/** A period for people. */
export function daysText(days: number | null, none: string): string {
  return days === null ? none : `${days} day${days === 1 ? '' : 's'}`
}
