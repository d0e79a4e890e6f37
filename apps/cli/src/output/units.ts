import { currentView } from './view.js'

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/**
 * A number of bytes for people: `0 B`, `1023 B`, `1.0 KiB`, `17.0 MiB`. Never rounds up into "1024.0".
 *
 * @example humanSize(17 * 2 ** 20) // '17.0 MiB'
 */
export function humanSize(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${UNITS[unit] ?? ''}`
}

/** Milliseconds for people: `0.4 s`, `12.0 s`, `3 min 05 s`, `2 h 10 min`. */
export function humanDuration(ms: number): string {
  const seconds = ms / 1000
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  const two = (n: number): string => String(n).padStart(2, '0')
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`
}

/**
 * A moment to the second in the zone of the machine with its offset, or in UTC with Z where that is the zone and with --utc;
 * `-` for none. Either form is taken back by `--since`.
 */
export function humanTime(time: Date | null | undefined): string {
  if (!time) return '-'
  // A header may claim any number of milliseconds; JavaScript's dates end in the year 275760.
  if (Number.isNaN(time.getTime())) return 'no date at all'
  const offset = currentView().utc ? 0 : -time.getTimezoneOffset()
  const local = new Date(time.getTime() + offset * 60_000)
  if (offset === 0 || Number.isNaN(local.getTime())) return `${time.toISOString().slice(0, -5)}Z`
  const two = (n: number): string => String(Math.floor(n)).padStart(2, '0')
  const minutes = Math.abs(offset)
  return `${local.toISOString().slice(0, -5)}${offset < 0 ? '-' : '+'}${two(minutes / 60)}:${two(minutes % 60)}`
}

/** `1 file`, `2 files`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}
