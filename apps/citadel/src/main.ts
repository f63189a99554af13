// placeholder until the app lands
export {};
