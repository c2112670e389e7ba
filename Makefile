.PHONY: help setup run dev test lint bench fuzz

help: ## shows this
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

setup: ## brings what the end-to-end tests need
	cargo xtask setup

run: ## builds the server with its web app and runs it on 127.0.0.1:4000 with ./data
	cargo xtask run

dev: ## the same while you change the app: it follows
	cargo xtask dev

test: ## everything that must hold before a change is taken
	cargo xtask test

lint: ## formatting and clippy
	cargo xtask lint

bench: ## builds the server and the load generator and measures
	cargo xtask bench

fuzz: ## fuzzes every target for a minute
	cargo xtask fuzz
