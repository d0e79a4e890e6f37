import type { DomainPolicy, Records } from '@sealfleet/records'
import { listDomains } from '@sealfleet/records/fleet'

/** How long a list of domains is used; a name that is not on it is looked up at once. */
const KEPT_MS = 2_000

/** Names of key domains and their ids, as the records have them. */
export class DomainNames {
  readonly #records: Records
  #domains: readonly DomainPolicy[] = []
  #readAt = -Infinity

  constructor(records: Records) {
    this.#records = records
  }

  /** The id of a domain by its id or name, as the command line finds it; undefined for an unknown one. */
  async idOf(idOrName: string): Promise<string | undefined> {
    const known = this.#find(await this.#list(KEPT_MS), idOrName)
    return known ?? this.#find(await this.#list(0), idOrName)
  }

  async nameOf(id: string): Promise<string> {
    return (await this.#list(KEPT_MS)).find((domain) => domain.id === id)?.name ?? id
  }

  #find(domains: readonly DomainPolicy[], idOrName: string): string | undefined {
    const wanted = idOrName.toLowerCase()
    return (domains.find(({ id }) => id === wanted) ?? domains.find(({ name }) => name === idOrName))?.id
  }

  async #list(keptMs: number): Promise<readonly DomainPolicy[]> {
    if (performance.now() - this.#readAt < keptMs) return this.#domains
    this.#domains = await listDomains(this.#records)
    this.#readAt = performance.now()
    return this.#domains
  }
}
