import { z } from 'zod'
import { absolutePathFault } from '../path.js'
import { defineConcern } from '../concern.js'
import { required } from '../variable.js'

/** Named folders that jobs may name as sources (and restores as destinations): name → absolute path. */
export type RootsConfig = ReadonlyMap<string, string>

const ROOT_NAME = /^[a-z0-9-]{1,64}$/

const rootList: z.ZodType<RootsConfig, string> = z.string().transform((value, context) => {
  const roots = new Map<string, string>()
  for (const entry of value.split(',')) {
    const [name, path] = split(entry.trim())
    const fault = entryFault(name, path) ?? (roots.has(name) ? `names "${name}" twice` : undefined)
    if (fault !== undefined) {
      context.addIssue({ code: 'custom', message: fault })
      return z.NEVER
    }
    roots.set(name, path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path)
  }
  return roots
})

function split(entry: string): [name: string, path: string] {
  const at = entry.indexOf('=')
  return at < 0 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)]
}

function entryFault(name: string, path: string): string | undefined {
  if (name === '') return 'holds an entry without a name'
  if (!ROOT_NAME.test(name)) return `names a root "${name}", which is not 1 to 64 of a-z, 0-9 and -`
  if (path === '') return `gives root "${name}" no path`
  const fault = absolutePathFault(path)
  return fault === undefined ? undefined : `gives root "${name}" the path "${path}", which ${fault}`
}

const variables = {
  roots: required({
    name: 'SEALFLEET_ROOTS',
    about: 'named folders that jobs may name; paths hold no comma',
    wants: 'name=/absolute/path, several separated by commas; names of a-z, 0-9 and -',
    example: 'inbox=/srv/inbox,archive=/srv/archive',
    schema: rootList,
  }),
}

export const roots = defineConcern({ variables, build: (values): RootsConfig => values.roots })
