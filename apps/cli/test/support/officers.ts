import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect } from 'vitest'
import type { World } from './world.js'

export interface Person {
  readonly name: string
  readonly role: 'officer' | 'auditor'
}

export interface Officers {
  /** Each of these signs a request, one after the other, and hands the signature in. */
  sign(requestId: string, names?: readonly string[]): Promise<void>
  /** One signature of one of them. */
  signAs(name: string, requestId: string): Promise<{ readonly status: number | null; readonly code?: string }>
}

/**
 * People with keys of their own on "another machine": a folder beside the world's data. Their keys outlive the database:
 * enrolling them again is all that a new one needs. After the second officer enrolment needs signatures, so those come last.
 */
export async function enrol(world: World, people: readonly Person[]): Promise<Officers> {
  for (const { name, role } of people) {
    const key = path.join(world.dir, `${name}.pem`)
    const made = await world.sealfleet(['operators', 'keygen', '-o', key, '--no-passphrase', '--json'])
    if (made.status === 0) await writeFile(`${key}.pub`, made.json<{ publicKey: string }>().publicKey)
    const added = await world.sealfleet([
      'operators',
      'add',
      name,
      '--role',
      role,
      '--public-key',
      `${key}.pub`,
      '--json',
    ])
    expect(added.status, added.stdout.toString() + added.stderr).toBe(0)
  }
  const officers = people.filter(({ role }) => role === 'officer').map(({ name }) => name)
  const signAs: Officers['signAs'] = async (name, requestId) => {
    // Neither is ever overwritten.
    const body = path.join(world.dir, `${randomUUID()}.request`)
    const signature = `${body}.sig`
    const shown = await world.sealfleet(['requests', 'show', requestId, '--body', body])
    expect(shown.status, shown.stderr).toBe(0)
    const signed = await world.sealfleet(
      ['requests', 'sign', body, '--key', path.join(world.dir, `${name}.pem`), '-o', signature, '--yes'],
      // Away from the server: no setting of the fleet is there.
      {
        env: { SEALFLEET_DATABASE_URL: undefined, SEALFLEET_REDIS_URL: undefined, SEALFLEET_PKCS11_MODULE: undefined },
      },
    )
    expect(signed.status, signed.stderr).toBe(0)
    const args = ['requests', 'approve', requestId, '--operator', name, '--signature', signature, '--json']
    const approved = await world.sealfleet(args)
    if (approved.status === 0) return { status: 0 }
    return { status: approved.status, code: approved.json<{ error: { code: string } }>().error.code }
  }
  return {
    signAs,
    sign: async (requestId, names = officers) => {
      for (const name of names) expect(await signAs(name, requestId)).toEqual({ status: 0 })
    },
  }
}

/** Two officers. */
export function enrolOfficers(world: World, names: readonly [string, string]): Promise<Officers> {
  return enrol(
    world,
    names.map((name) => ({ name, role: 'officer' })),
  )
}
