// Tokens whose signature was checked, by SHA-256, so that no bearer is kept in memory. A hit proves the signature and nothing
// else: whoever asks still checks time, denials and the lease.
import { hash } from 'node:crypto'
import type { VerifiedToken } from './verify-token.ts'

export type TokenCache = {
  get(key: string): VerifiedToken | undefined
  set(key: string, verified: VerifiedToken): void
  delete(key: string): void
  clear(): void
}

/** The cache key of a token: its SHA-256. Synchronous on purpose: the asynchronous digest costs half a signature check. */
export const tokenKey = (token: string): string => hash('sha256', token, 'base64')

/** Bounded: what was set longest ago goes first. Set again at each use. */
export const createTokenCache = (maxTokens: number): TokenCache => {
  const entries = new Map<string, VerifiedToken>()
  return {
    get: (key) => entries.get(key),
    set(key, verified) {
      entries.delete(key)
      entries.set(key, verified)
      if (entries.size <= maxTokens) return
      const oldest = entries.keys().next()
      if (!oldest.done) entries.delete(oldest.value)
    },
    delete: (key) => void entries.delete(key),
    clear: () => entries.clear(),
  }
}
