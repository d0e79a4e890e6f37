import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect } from 'vitest'
import type { World } from './world.js'

export interface Officers {
  /** Signs a request by both, one after the other, and hands the signatures in. */
  sign(requestId: string): Promise<void>
  /** One signature of one of them. */
  signAs(name: string, requestId: string): Promise<{ readonly status: number | null; readonly code?: string }>
}

type Signed = Awaited<ReturnType<Officers['signAs']>>

/** Two officers with keys of their own on "another machine": a folder beside the world's data. */
export async function enrolOfficers(world: World, names: readonly [string, string]): Promise<Officers> {
  for (const name of names) {
    const added = await world.sealfleet(['operators', 'add', name, ...(await keyOf(world, name)), '--json'])
    expect(added.status, added.stdout.toString() + added.stderr).toBe(0)
  }
  const signAs: Officers['signAs'] = (name, requestId) => signRequest(world, name, requestId)
  return {
    signAs,
    sign: async (requestId) => {
      for (const name of names) expect(await signAs(name, requestId)).toEqual({ status: 0 })
    },
  }
}

/** An auditor, whom the officers that are enrolled already let in by their signatures. */
export async function enrolAuditor(
  world: World,
  name: string,
  officers: Officers,
): Promise<{ sign(requestId: string): Promise<Signed> }> {
  const add = ['operators', 'add', name, '--role', 'auditor', ...(await keyOf(world, name)), '--json']
  const { id } = (await world.sealfleet(add)).json<{ request: { id: string } }>().request
  await officers.sign(id)
  const added = await world.sealfleet([...add, '--request', id])
  expect(added.status, added.stdout.toString() + added.stderr).toBe(0)
  return { sign: (requestId) => signRequest(world, name, requestId) }
}

/** The option that names a person's public key; their keys outlive the database: enrolling them again is all that a new one needs. */
async function keyOf(world: World, name: string): Promise<readonly [string, string]> {
  const key = path.join(world.dir, `${name}.pem`)
  const made = await world.sealfleet(['operators', 'keygen', '-o', key, '--no-passphrase', '--json'])
  if (made.status === 0) await writeFile(`${key}.pub`, made.json<{ publicKey: string }>().publicKey)
  await readFile(`${key}.pub`)
  return ['--public-key', `${key}.pub`]
}

async function signRequest(world: World, name: string, requestId: string): Promise<Signed> {
  const body = path.join(world.dir, `${requestId}.${name}.request`)
  const signature = path.join(world.dir, `${requestId}.${name}.sig`)
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
