/**
 * The nine steps of an attempt (docs/design/attempt.md). Before and after each there is a named point at which a test can
 * kill the process, so that "a crash at any step loses nothing" can be tested.
 */
export const STEPS = [
  'claim',
  'open-source',
  'nonces',
  'derive',
  'upload',
  'check-source',
  'complete',
  'commit',
  'wipe',
] as const

/** The same for re-encryption. */
export const REKEY_STEPS = ['claim', 'open-old', 'nonces', 'derive', 'upload', 'complete', 'commit', 'wipe'] as const

export type Step = (typeof STEPS)[number] | `rekey-${(typeof REKEY_STEPS)[number]}`

/** The steps of the runner, by one name for both kinds of attempt. */
export type AttemptStep = 'claim' | 'open' | 'nonces' | 'derive' | 'upload' | 'complete' | 'commit' | 'wipe'

/** Called before and after each step; awaited. Production passes `noStepHook`. */
export type StepHook = (step: Step, when: 'before' | 'after') => void | Promise<void>

export const noStepHook: StepHook = () => undefined
