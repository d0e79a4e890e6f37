import { z } from 'zod'
import { absolutePathFault } from '../path.js'
import { defineConcern } from '../concern.js'
import { optional, required } from '../variable.js'

/** Named folders that jobs may name as sources: name → absolute path. */
export interface RootsConfig extends ReadonlyMap<string, string> {
  /** roots below which a file with more than one name (hard links) is refused */
  readonly refuseHardLinks: ReadonlySet<string>
}

class Roots extends Map<string, string> implements RootsConfig {
  readonly refuseHardLinks: ReadonlySet<string>

  constructor(folders: ReadonlyMap<string, string>, refuseHardLinks: ReadonlySet<string>) {
    super(folders)
    this.refuseHardLinks = refuseHardLinks
  }
}

const ROOT_NAME = /^[a-z0-9-]{1,64}$/

const rootList: z.ZodType<ReadonlyMap<string, string>, string> = z.string().transform((value, context) => {
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

type HardLinks = 'allow' | 'refuse'

const hardLinkList: z.ZodType<ReadonlyMap<string, HardLinks>, string> = z.string().transform((value, context) => {
  const policies = new Map<string, HardLinks>()
  for (const entry of value.split(',')) {
    const [name, policy] = split(entry.trim())
    const known = policy === 'allow' || policy === 'refuse'
    if (known && ROOT_NAME.test(name) && !policies.has(name)) {
      policies.set(name, policy)
      continue
    }
    const message = policies.has(name) ? `names "${name}" twice` : `holds "${entry.trim()}"`
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  return policies
})

const variables = {
  roots: required({
    name: 'SEALFLEET_ROOTS',
    description: 'named folders that jobs may name; paths hold no comma',
    expects: 'name=/absolute/path, several separated by commas; names of a-z, 0-9 and -',
    example: 'inbox=/srv/inbox,archive=/srv/archive',
    schema: rootList,
  }),
  hardLinks: optional({
    name: 'SEALFLEET_ROOT_HARD_LINKS',
    description: 'whether files with more than one name are taken, for each root; `allow` where nothing is said',
    expects: 'name=allow or name=refuse, several separated by commas; names of roots',
    example: 'inbox=refuse',
    schema: hardLinkList,
  }),
}

export const roots = defineConcern({
  variables,
  check: ({ roots: folders, hardLinks }) =>
    [...(hardLinks?.keys() ?? [])]
      .filter((name) => !folders.has(name))
      .map((name) => ({
        variable: variables.hardLinks.name,
        fault: `names "${name}", which is not in SEALFLEET_ROOTS`,
      })),
  build: ({ roots: folders, hardLinks = new Map<string, HardLinks>() }): RootsConfig =>
    new Roots(folders, new Set([...hardLinks].flatMap(([name, policy]) => (policy === 'refuse' ? [name] : [])))),
})
