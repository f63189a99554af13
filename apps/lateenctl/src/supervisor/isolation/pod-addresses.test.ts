// Addresses in the network of a mesh follow those of the address book.

import { expect, test } from 'vitest';
import { HUB, linkName, podAddresses, serviceAddresses } from './pod-addresses.js';

test('a pod has an address of each family, with the bytes of its place in the book', () => {
  expect(podAddresses('127.77.1.16', true)).toEqual(['10.244.1.16', 'fd44::110']);
  expect(podAddresses('127.77.1.16', false)).toEqual(['10.244.1.16']);
});

test('a service has one of another range', () => {
  expect(serviceAddresses('127.77.0.17', true)).toEqual(['10.96.0.17', 'fd96::11']);
});

test('the first place of a pod is not the address of the bridge', () => {
  expect(podAddresses('127.77.0.16', true)).not.toContain(HUB.ipv4);
  expect(podAddresses('127.77.0.16', true)).not.toContain(HUB.ipv6);
});

test('names of interfaces fit into what the kernel takes', () => {
  expect(linkName('127.77.255.254')).toBe('pod-255-254');
  expect(linkName('127.77.255.254').length).toBeLessThanOrEqual(15);
});
