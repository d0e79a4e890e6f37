import { openStore, type Store, type StoreOptions } from '@sealfleet/store'

/** Stores of earlier buckets with the same credentials, each opened at its first use. Disposing closes them. */
export class OtherBuckets implements AsyncDisposable {
  readonly #store: Store
  readonly #options: StoreOptions
  readonly #others = new Map<string, Promise<Store>>()

  /** @param store today's bucket, which stays open */
  constructor(store: Store, options: StoreOptions) {
    this.#store = store
    this.#options = options
  }

  async of(bucket: string): Promise<Store> {
    if (bucket === this.#store.bucket) return this.#store
    const opening = this.#others.get(bucket) ?? openStore({ ...this.#options, bucket, access: 'read-only' })
    this.#others.set(bucket, opening)
    try {
      return await opening
    } catch (error) {
      this.#others.delete(bucket)
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of await Promise.allSettled(this.#others.values()))
      if (opened.status === 'fulfilled') opened.value.close()
  }
}
