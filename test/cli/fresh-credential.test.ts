import { describe, expect, test } from 'vitest'
import { freshCredential } from '../../src/commands/fresh-credential.ts'

function stage() {
  let now = 0
  let made = 0
  let dead = false
  const revoked: string[] = []
  const asked: boolean[] = []
  const credential = freshCredential(
    {
      async exchange(grant) {
        if (dead && grant === 'old') throw new Error('the grant is over')
        made++
        return { token: `t${made}`, expiresInSeconds: 60, scope: 'read', use: null }
      },
      revoke: async (token) => void revoked.push(token),
    },
    async (again) => {
      asked.push(again)
      return again ? 'new' : 'old'
    },
    () => now,
  )
  return {
    credential,
    revoked,
    asked,
    made: () => made,
    pass: (seconds: number) => {
      now += seconds * 1000
    },
    end: () => {
      dead = true
    },
  }
}

describe('a credential that is kept fresh', () => {
  test('is used until its last fifth, and redeemed once for all who wait', async () => {
    const s = stage()
    expect((await Promise.all([s.credential.get(), s.credential.get()])).map(({ token }) => token)).toEqual([
      't1',
      't1',
    ])
    s.pass(47)
    expect((await s.credential.get()).token).toBe('t1')
    s.pass(2)
    expect((await s.credential.get()).token).toBe('t2')
  })

  test('is another one after the tool refused it, and after its grant is over', async () => {
    const s = stage()
    s.credential.refused((await s.credential.get()).token)
    expect((await s.credential.get()).token).toBe('t2')
    s.end()
    s.pass(60)
    expect((await s.credential.get()).token).toBe('t3')
    expect(s.asked).toEqual([false, false, false, true])
  })

  test('is revoked at the end, also one that was still on its way (P7)', async () => {
    const s = stage()
    await s.credential.get()
    s.pass(60)
    const coming = s.credential.get()
    await s.credential.giveBack()
    await coming
    expect(s.revoked.sort()).toEqual(['t1', 't2'])
  })
})
