// The timer wheel against a plain model: never early, late by a tick at most, each armed timer once.

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Timer, TimerWheel } from './timer-wheel.js';

const TICK_MS = 10;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('TimerWheel', () => {
  it('fires each timer once, not before its time and at most a tick late', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ delay: fc.integer({ min: 0, max: 40_000 }), cancel: fc.boolean() }), { maxLength: 40 }),
        (plan) => {
          const wheel = new TimerWheel(TICK_MS);
          const start = performance.now();
          const fired = new Map<number, number>();
          const owner = {
            onTimer: (kind: number) =>
              expect(fired.has(kind) || fired.set(kind, performance.now() - start)).toBeTruthy(),
          };
          const timers = plan.map((_, index) => new Timer(owner, index));
          for (const [index, { delay }] of plan.entries()) wheel.schedule(timers[index]!, delay);
          for (const [index, { cancel }] of plan.entries()) if (cancel) wheel.cancel(timers[index]!);
          vi.advanceTimersByTime(41_000);
          plan.forEach(({ delay, cancel }, index) => {
            const at = fired.get(index);
            if (cancel) expect(at).toBeUndefined();
            else {
              expect(at).toBeGreaterThanOrEqual(delay);
              expect(at).toBeLessThanOrEqual(delay + 2 * TICK_MS + 1);
            }
          });
          expect(wheel.size).toBe(0);
          wheel.close();
        },
      ),
      { numRuns: 50 },
    );
  });

  it('lets a callback arm and cancel timers, itself included', () => {
    const wheel = new TimerWheel(TICK_MS);
    const order: string[] = [];
    const victim = new Timer({ onTimer: () => order.push('victim') }, 0);
    let rounds = 0;
    const again: Timer = new Timer(
      {
        onTimer: () => {
          order.push('again');
          wheel.cancel(victim);
          if (++rounds < 3) wheel.schedule(again, 20);
        },
      },
      0,
    );
    wheel.schedule(again, 5);
    wheel.schedule(victim, 5);
    vi.advanceTimersByTime(1000);
    expect(order).toEqual(['again', 'again', 'again']);
    expect(wheel.size).toBe(0);
  });

  it('moves a timer that is armed again', () => {
    const wheel = new TimerWheel(TICK_MS);
    const fired: number[] = [];
    const start = performance.now();
    const timer = new Timer({ onTimer: () => fired.push(performance.now() - start) }, 0);
    wheel.schedule(timer, 50);
    wheel.schedule(timer, 500);
    vi.advanceTimersByTime(1000);
    expect(fired).toHaveLength(1);
    expect(fired[0]).toBeGreaterThanOrEqual(500);
  });

  it('wakes for nothing while nothing is armed', () => {
    const wheel = new TimerWheel(TICK_MS);
    const timer = new Timer({ onTimer: () => {} }, 0);
    wheel.schedule(timer, 30);
    vi.advanceTimersByTime(100);
    expect(vi.getTimerCount()).toBe(0);
  });
});
