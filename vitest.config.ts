import { defineConfig } from 'vitest/config'

/** Set-up of every suite. */
const shared = {
  pool: 'forks',
  maxConcurrency: 3,
  // Bounds for what hangs, not measures: a busy machine is ten times slower than a quiet one.
  testTimeout: 180_000,
  hookTimeout: 240_000,
  expect: { poll: { timeout: 60_000 } },
  restoreMocks: true,
} as const

const CHAOS = 'scripts/test/chaos.test.ts'

/** Suites that read and write times, bytes, JSON and intervals. */
const ANY_SESSION = [
  'packages/records/test/{requests,search-audit}.test.ts',
]

/**
 * Tests run against real services: `scripts/test.mjs` builds, starts them and hands over their addresses in
 * SEALFLEET_TEST_*. Workspace packages are imported as built (dist); a package's own tests import ../src.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...shared,
          name: 'suites',
          include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'scripts/test/**/*.test.ts'],
          exclude: [CHAOS],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Once more on databases whose defaults are hostile, in another zone: what is read and written there is the same.
        test: {
          ...shared,
          name: 'any-session',
          include: ANY_SESSION,
          env: {
            SEALFLEET_TEST_DATABASE_DEFAULTS: 'hostile',
            TZ: 'America/St_Johns',
            // For the tests' own connections, which look at what ours did; ours do not read it.
            PGOPTIONS:
              '-c timezone=Europe/Berlin -c datestyle=ISO -c bytea_output=hex -c extra_float_digits=1 -c search_path=public ' +
              '-c standard_conforming_strings=on -c statement_timeout=0 -c lock_timeout=0 ' +
              '-c idle_in_transaction_session_timeout=0 -c default_transaction_isolation=read\\ committed',
          },
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // When the others are done: it takes the whole machine, and what it does to it is nobody else's business.
        test: { ...shared, name: 'chaos', include: [CHAOS], maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
})
