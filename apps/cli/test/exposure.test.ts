import { describe, expect, it } from 'vitest'
import { checkExposure } from '../src/commands/doctor/exposure.js'

describe('doctor says how each dependency is reached', () => {
  it('on this machine or by TLS: fine', () => {
    const findings = checkExposure({
      redis: { transport: 'local', tls: undefined },
      database: { transport: 'tls', tls: undefined },
    })
    expect(findings).toMatchObject([
      { check: 'connections', state: 'ok', detail: 'redis on this machine, database by verified TLS' },
    ])
  })

  it.each([
    ['plaintext', 'database without TLS, beyond this machine'],
    ['unverified', 'database by TLS that does not verify the server, beyond this machine'],
  ] as const)('%s is a warning, although it is allowed', (transport, detail) => {
    const findings = checkExposure({
      redis: { transport: 'local', tls: undefined },
      database: { transport, tls: undefined },
    })
    expect(findings).toMatchObject([
      {
        state: 'warning',
        detail: `${detail}; SEALFLEET_ALLOW_PLAINTEXT allows it`,
        fix: expect.stringContaining('SEALFLEET_DATABASE_URL') as string,
      },
    ])
  })

  it('nothing of settings that could not be read', () => {
    expect(checkExposure({})).toEqual([])
  })
})
