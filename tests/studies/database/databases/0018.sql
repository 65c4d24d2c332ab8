BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE cells (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	layer_index INTEGER NOT NULL, 
	layer TEXT NOT NULL, 
	cell TEXT NOT NULL, 
	origin VARCHAR(20) NOT NULL, 
	parent TEXT, 
	second_parent TEXT, 
	round_number INTEGER NOT NULL, 
	iteration INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (run_id, layer_index, cell), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
CREATE TABLE checkpoints (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	round_number INTEGER NOT NULL, 
	kind VARCHAR(50) NOT NULL, 
	path TEXT NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
CREATE TABLE choices (
	id INTEGER NOT NULL, 
	round_id INTEGER NOT NULL, 
	layer_index INTEGER NOT NULL, 
	layer TEXT NOT NULL, 
	op TEXT NOT NULL, 
	rating FLOAT, 
	share FLOAT, 
	fate VARCHAR(20) NOT NULL, 
	rule TEXT NOT NULL, measured INTEGER, effect FLOAT, effect_low FLOAT, effect_high FLOAT, learned FLOAT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(round_id) REFERENCES rounds (id) ON DELETE CASCADE
);
INSERT INTO "choices" VALUES(1,1,0,'stage1.layer1','''id''',0.3,2.85714285714285698425e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(2,1,0,'stage1.layer1','a',0.3,2.85714285714285698425e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(3,1,0,'stage1.layer1','b',0.4,4.28571428571428547638e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(4,1,1,'stage1.layer2','a',0.5,5.7142857142857139685e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(5,1,1,'stage1.layer2','b',0.3,1.42857142857142849212e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(6,1,1,'stage1.layer2','''id''',0.2,2.85714285714285698425e-01,'dropped','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(7,1,2,'stage1.layer3','''id''',0.4,2.85714285714285698425e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(8,1,2,'stage1.layer3','b',0.4,4.28571428571428547638e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(9,1,2,'stage1.layer3','a',0.2,2.85714285714285698425e-01,'dropped','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(10,2,0,'stage1.layer1','''id''',3.33333333333333314829e-01,4.28571428571428547638e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(11,2,0,'stage1.layer1','a',3.33333333333333314829e-01,4.28571428571428547638e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(12,2,0,'stage1.layer1','b',3.33333333333333314829e-01,1.42857142857142849212e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(13,2,1,'stage1.layer2','a',5.55555555555555580227e-01,5.7142857142857139685e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(14,2,1,'stage1.layer2','b',4.44444444444444419772e-01,4.28571428571428547638e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(15,2,2,'stage1.layer3','''id''',4.44444444444444419772e-01,4.28571428571428547638e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "choices" VALUES(16,2,2,'stage1.layer3','b',5.55555555555555580227e-01,5.7142857142857139685e-01,'kept','rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE deliveries (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	round_number INTEGER NOT NULL, 
	arch TEXT NOT NULL, 
	widths_json TEXT, 
	accuracy FLOAT NOT NULL, 
	macs FLOAT NOT NULL, 
	params FLOAT NOT NULL, 
	latency_ms FLOAT NOT NULL, 
	folder TEXT NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	settings_json TEXT NOT NULL, 
	created_at DATETIME NOT NULL, flash_kb FLOAT, memory_kb FLOAT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
CREATE TABLE evaluations (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	judge TEXT NOT NULL, 
	canonical TEXT NOT NULL, 
	arch TEXT NOT NULL, 
	accuracy FLOAT, 
	nll FLOAT, 
	macs FLOAT NOT NULL, 
	params FLOAT NOT NULL, 
	latency_ms FLOAT, 
	seconds FLOAT NOT NULL, 
	created_at DATETIME NOT NULL, 
	state VARCHAR(20) DEFAULT 'complete' NOT NULL, 
	reason TEXT, 
	rungs_json TEXT DEFAULT '[]' NOT NULL, raw_accuracy FLOAT, flash_kb FLOAT, memory_kb FLOAT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "evaluations" VALUES(1,1,'table:table','b|''id''|''id''','b|''id''|''id''',0.39,NULL,25.0,9.0,NULL,0.0,'2026-11-29 15:25:20.713271','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(2,1,'table:table','''id''|b|''id''','''id''|b|''id''',0.4,NULL,45.0,9.0,NULL,0.0,'2026-11-29 15:25:20.713354','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(3,1,'table:table','''id''|a|a','''id''|a|a',0.42,NULL,55.0,8.0,NULL,0.0,'2026-11-29 15:25:20.713378','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(4,1,'table:table','b|''id''|b','b|''id''|b',0.49,NULL,85.0,16.0,NULL,0.0,'2026-11-29 15:25:20.713397','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(5,1,'table:table','''id''|b|b','''id''|b|b',0.55,NULL,105.0,16.0,NULL,0.0,'2026-11-29 15:25:20.713414','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(6,1,'table:table','b|a|b','b|a|b',0.51,NULL,105.0,19.0,NULL,0.0,'2026-11-29 15:25:20.732791','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(7,1,'table:table','a|a|''id''','a|a|''id''',0.41,NULL,35.0,8.0,NULL,0.0,'2026-11-29 15:25:20.732844','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(8,1,'table:table','b|a|a','b|a|a',0.48,NULL,75.0,15.0,NULL,0.0,'2026-11-29 15:25:20.732867','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(9,1,'table:table','a|b|''id''','a|b|''id''',0.41,NULL,55.0,12.0,NULL,0.0,'2026-11-29 15:25:20.732885','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(10,1,'table:table','a|a|b','a|a|b',0.51,NULL,95.0,15.0,NULL,0.0,'2026-11-29 15:25:20.732902','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(11,1,'table:table','b|a|''id''','b|a|''id''',0.41,NULL,45.0,12.0,NULL,0.0,'2026-11-29 15:25:22.956218','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(12,1,'table:table','b|b|b','b|b|b',0.56,NULL,125.0,23.0,NULL,0.0,'2026-11-29 15:25:22.956293','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(13,1,'table:table','a|b|b','a|b|b',0.56,NULL,115.0,19.0,NULL,0.0,'2026-11-29 15:25:22.982200','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(14,1,'table:table','''id''|a|b','''id''|a|b',0.5,NULL,85.0,12.0,NULL,0.0,'2026-11-29 15:25:22.982267','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(15,1,'table:table','''id''|a|''id''','''id''|a|''id''',0.35,NULL,25.0,5.0,NULL,0.0,'2026-11-29 15:25:22.982289','complete',NULL,'[]',NULL,NULL,NULL);
INSERT INTO "evaluations" VALUES(16,1,'table:table','b|b|''id''','b|b|''id''',0.46,NULL,65.0,16.0,NULL,0.0,'2026-11-29 15:25:22.982306','complete',NULL,'[]',NULL,NULL,NULL);
CREATE TABLE evo_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT evo_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "evo_version" VALUES('0018');
CREATE TABLE fitness (
	id INTEGER NOT NULL, 
	cell_id INTEGER NOT NULL, 
	round_number INTEGER NOT NULL, 
	iteration INTEGER NOT NULL, 
	fitness FLOAT NOT NULL, error FLOAT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(cell_id) REFERENCES cells (id) ON DELETE CASCADE
);
CREATE TABLE leases (
	run_id INTEGER NOT NULL, 
	token VARCHAR(32) NOT NULL, 
	holder VARCHAR(300) NOT NULL, 
	place VARCHAR(200) NOT NULL, 
	pid INTEGER NOT NULL, 
	beats INTEGER NOT NULL, 
	taken_at DATETIME NOT NULL, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
CREATE TABLE no_search (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	round_number INTEGER NOT NULL, 
	arm VARCHAR(50) NOT NULL, 
	place INTEGER NOT NULL, 
	budget FLOAT NOT NULL, 
	network TEXT NOT NULL, 
	arch TEXT NOT NULL, 
	macs FLOAT NOT NULL, 
	params FLOAT NOT NULL, 
	networks INTEGER NOT NULL, 
	accuracy FLOAT NOT NULL, 
	images INTEGER NOT NULL, 
	choosing_macs FLOAT NOT NULL, 
	training_sha256 VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (run_id, round_number, arm, place), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
CREATE TABLE proposals (
	id INTEGER NOT NULL, 
	round_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	generation INTEGER NOT NULL, 
	origin VARCHAR(20) NOT NULL, 
	is_new BOOLEAN NOT NULL, 
	arch TEXT NOT NULL, 
	evaluation_id INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (round_id, number), 
	FOREIGN KEY(round_id) REFERENCES rounds (id) ON DELETE CASCADE, 
	FOREIGN KEY(evaluation_id) REFERENCES evaluations (id) ON DELETE CASCADE
);
INSERT INTO "proposals" VALUES(1,1,0,0,'stratified',1,'b|''id''|''id''',1);
INSERT INTO "proposals" VALUES(2,1,1,0,'stratified',1,'''id''|b|''id''',2);
INSERT INTO "proposals" VALUES(3,1,2,0,'stratified',1,'''id''|a|a',3);
INSERT INTO "proposals" VALUES(4,1,3,0,'stratified',1,'b|''id''|b',4);
INSERT INTO "proposals" VALUES(5,1,4,0,'stratified',1,'''id''|b|b',5);
INSERT INTO "proposals" VALUES(6,1,5,1,'child',1,'b|a|b',6);
INSERT INTO "proposals" VALUES(7,1,6,1,'child',1,'a|a|''id''',7);
INSERT INTO "proposals" VALUES(8,1,7,1,'child',1,'b|a|a',8);
INSERT INTO "proposals" VALUES(9,1,8,1,'child',1,'a|b|''id''',9);
INSERT INTO "proposals" VALUES(10,1,9,1,'child',1,'a|a|b',10);
INSERT INTO "proposals" VALUES(11,2,0,0,'survivor',0,'a|a|''id''',7);
INSERT INTO "proposals" VALUES(12,2,1,0,'survivor',0,'a|a|b',10);
INSERT INTO "proposals" VALUES(13,2,2,0,'survivor',0,'''id''|b|b',5);
INSERT INTO "proposals" VALUES(14,2,3,0,'stratified',1,'b|a|''id''',11);
INSERT INTO "proposals" VALUES(15,2,4,0,'stratified',1,'b|b|b',12);
INSERT INTO "proposals" VALUES(16,2,5,1,'child',1,'a|b|b',13);
INSERT INTO "proposals" VALUES(17,2,6,1,'child',1,'''id''|a|b',14);
INSERT INTO "proposals" VALUES(18,2,7,1,'child',1,'''id''|a|''id''',15);
INSERT INTO "proposals" VALUES(19,2,8,1,'child',1,'b|b|''id''',16);
CREATE TABLE rounds (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	study VARCHAR(300) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	space_json TEXT NOT NULL, 
	next_space_json TEXT, 
	judge TEXT, 
	hypervolume FLOAT, 
	front_size INTEGER, 
	tau FLOAT, 
	tau_macs FLOAT, 
	fitting_seconds FLOAT, 
	searching_seconds FLOAT, 
	truth_seconds FLOAT, 
	stats_json TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, training_macs FLOAT, scoring_macs FLOAT, truth_macs FLOAT, 
	PRIMARY KEY (id), 
	UNIQUE (run_id, number), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "rounds" VALUES(1,1,1,'old/round-01','finished','{"name":"table","layers":[{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false},{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false},{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false}],"stem":{"c_out":1,"stride":1,"kernel":1,"activation":"relu6","c_in":1,"size":1},"head":{"features":0,"classes":1,"activation":"relu6","norm":true},"merge":"residual"}','{"name":"table","layers":[{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false},{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false},{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","b"],"pending":[],"block":"stage1","branches":1,"skippable":false}],"stem":{"c_out":1,"stride":1,"kernel":1,"activation":"relu6","c_in":1,"size":1},"head":{"features":0,"classes":1,"activation":"relu6","norm":true},"merge":"residual"}','table:table',3.70399999999999951505e-01,7,NULL,NULL,5.6711479999194125412e-03,1.04922481999892625026e-01,2.96700000035343691706e-06,'{"proposals": 10, "distinct": 10, "measured": 10, "failed": {}, "unscreened": 0, "front": 7, "exhausted": false, "truth": null, "seconds": {"fitting": 0.0056711479999194125, "evaluating": 0.0008895760001905728, "storing": 0.02496799599998667, "proposing": 0.07906490999971538, "truth": 2.967000000353437e-06}}','2026-11-29 15:25:20.614726','2026-11-29 15:25:20.741842',NULL,NULL,NULL);
INSERT INTO "rounds" VALUES(2,1,2,'old/round-02','finished','{"name":"table","layers":[{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false},{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false},{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","b"],"pending":[],"block":"stage1","branches":1,"skippable":false}],"stem":{"c_out":1,"stride":1,"kernel":1,"activation":"relu6","c_in":1,"size":1},"head":{"features":0,"classes":1,"activation":"relu6","norm":true},"merge":"residual"}','{"name":"table","layers":[{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false},{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false},{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","b"],"pending":[],"block":"stage1","branches":1,"skippable":false}],"stem":{"c_out":1,"stride":1,"kernel":1,"activation":"relu6","c_in":1,"size":1},"head":{"features":0,"classes":1,"activation":"relu6","norm":true},"merge":"residual"}','table:table',3.69600000000000039612e-01,7,NULL,NULL,7.5952900010634039063e-04,8.47428029999264254001e-02,4.29700003223842941224e-06,'{"proposals": 9, "distinct": 9, "measured": 6, "failed": {}, "unscreened": 0, "front": 7, "exhausted": true, "truth": null, "seconds": {"fitting": 0.0007595290001063404, "evaluating": 0.0005921749996105063, "storing": 0.017132274999767105, "proposing": 0.06701835300054881, "truth": 4.297000032238429e-06}}','2026-11-29 15:25:22.938671','2026-11-29 15:25:23.028565',NULL,NULL,NULL);
CREATE TABLE runs (
	id INTEGER NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	config_json TEXT NOT NULL, 
	seed BIGINT NOT NULL, 
	versions_json TEXT NOT NULL, 
	space_json TEXT NOT NULL, 
	max_cost FLOAT NOT NULL, 
	min_accuracy FLOAT NOT NULL, 
	created_at DATETIME NOT NULL, 
	data_sha256 VARCHAR(64), 
	classes_json TEXT, 
	plugins_json TEXT, further_max_costs_json TEXT, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "runs" VALUES(1,'old','{"seed":0,"control":false,"threads":1,"device":"auto","sync_batchnorm":true,"plugins":[],"space":{"name":"table","path":null,"channels":null,"size":null,"classes":null,"add_operations":[]},"data":{"name":"digits","path":"data","size":null,"max_images":null,"validation_fraction":0.2,"download":true,"augment":[],"in_memory":null,"workers":4},"evaluator":{"kind":"tabular","timeout":null,"path":"table.csv","arch_column":"arch","tokens":"operations","separator":"|","accuracy_column":"accuracy","accuracy_scale":1.0,"macs_column":"macs","params_column":"params","latency_column":null},"search":{"population":5,"sampler":"nsga2","surrogate":false,"evaluations":10,"time_limit_seconds":null,"objective":"accuracy","cost":"macs","macs_convention":"macs","min_accuracy":0.0},"limits":{"macs":null,"params":null,"latency_ms":null},"ground_truth":{"epochs":20.0,"batch_size":64,"learning_rate":0.1,"momentum":0.9,"weight_decay":0.00004,"label_smoothing":0.0,"warmup_fraction":0.05,"sample":0,"table":null},"deliver":{"epochs":60.0,"batch_size":64,"learning_rate":0.1,"momentum":0.9,"weight_decay":0.00004,"label_smoothing":0.1,"warmup_fraction":0.05,"mixup":0.2,"cutmix":0.0,"drop_path":0.0,"ema":0.99,"augment":null},"latency":null,"evolution":{"method":"pad_nas","rank":3,"share":0.25}}',0,'{"evo": "0.2.0", "python": "3.11.7", "optuna": "5.0.0", "torch": "2.13.0+cpu", "torchvision": "0.28.0", "sqlalchemy": "2.1.9", "numpy": "2.4.6", "pandas": "3.1.1"}','{"name":"table","layers":[{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false},{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false},{"shape":{"c_in":1,"c_out":1,"stride":2,"size":1},"candidates":["''id''","a","b"],"pending":[],"block":"stage1","branches":1,"skippable":false}],"stem":{"c_out":1,"stride":1,"kernel":1,"activation":"relu6","c_in":1,"size":1},"head":{"features":0,"classes":1,"activation":"relu6","norm":true},"merge":"residual"}',125.0,0.0,'2026-11-29 15:25:20.036091','75f9511c0e43411c151013d0f607e2ce2c6486f281f1cd1bade80484beae62e3',NULL,NULL,NULL);
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'old/round-01');
INSERT INTO "studies" VALUES(2,'old/round-02');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',1,1);
INSERT INTO "study_directions" VALUES(3,'MAXIMIZE',2,0);
INSERT INTO "study_directions" VALUES(4,'MINIMIZE',2,1);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["accuracy", "macs"]');
INSERT INTO "study_system_attributes" VALUES(2,1,'dashboard:note_ver','1');
INSERT INTO "study_system_attributes" VALUES(3,1,'dashboard:note_str:0','"## Round 1\n\n- **Space:** 27 architectures, 3 layers\n- **Search:** 10 proposals, 10 measured for this round\n- **Front:** 7 networks, from 39.00% at 25 MACs to 55.00% at 105 MACs\n- **Hypervolume:** 0.3704\n- **Next space:** 12 architectures; 7 operations kept, 2 dropped, 0 added (counted per layer)\n- **Rule:** rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing\n\n| fate | layer | operations |\n|---|---|---|\n| dropped | stage1.layer2 | `''id''` |\n| dropped | stage1.layer3 | `a` |"');
INSERT INTO "study_system_attributes" VALUES(4,1,'dashboard:plot_data:fronts:0','"{\"data\":[{\"legendgroup\":\"round 1\",\"marker\":{\"color\":\"rgb(23, 7, 139)\",\"opacity\":0.35,\"size\":5},\"mode\":\"markers\",\"name\":\"round 1\",\"showlegend\":false,\"x\":{\"dtype\":\"f8\",\"bdata\":\"AAAAAACARkAAAAAAAEBaQAAAAAAAgEtA\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"mpmZmZmZ2T9SuB6F61HgPz0K16NwPdo\\u002f\"},\"type\":\"scatter\"},{\"hovertemplate\":\"%{hovertext}\\u003cbr\\u003e%{y:.2%} at %{x:.3s} MACs\\u003cextra\\u003e%{fullData.name}\\u003c\\u002fextra\\u003e\",\"hovertext\":[\"b|&#x27;id&#x27;|&#x27;id&#x27;\",\"a|a|&#x27;id&#x27;\",\"&#x27;id&#x27;|a|a\",\"b|a|a\",\"b|&#x27;id&#x27;|b\",\"a|a|b\",\"&#x27;id&#x27;|b|b\"],\"legendgroup\":\"round 1\",\"line\":{\"color\":\"rgb(23, 7, 139)\",\"shape\":\"hv\",\"width\":2},\"marker\":{\"line\":{\"color\":\"white\",\"width\":1},\"size\":8,\"symbol\":\"circle\"},\"mode\":\"lines+markers\",\"name\":\"round 1\",\"x\":{\"dtype\":\"f8\",\"bdata\":\"AAAAAAAAOUAAAAAAAIBBQAAAAAAAgEtAAAAAAADAUkAAAAAAAEBVQAAAAAAAwFdAAAAAAABAWkA=\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"9ihcj8L12D89CtejcD3aP+F6FK5H4do\\u002fuB6F61G43j9cj8L1KFzfP1K4HoXrUeA\\u002fmpmZmZmZ4T8=\"},\"type\":\"scatter\"}],\"layout\":{\"template\":{\"layout\":{\"font\":{\"color\":\"#22262e\",\"family\":\"system-ui, -apple-system, ''Segoe UI'', ''Liberation Sans'', sans-serif\",\"size\":13},\"hoverlabel\":{\"align\":\"left\",\"bgcolor\":\"white\",\"font\":{\"color\":\"#22262e\",\"size\":12}},\"legend\":{\"font\":{\"size\":12},\"orientation\":\"h\",\"x\":0,\"y\":1.01,\"yanchor\":\"bottom\"},\"margin\":{\"b\":8,\"l\":8,\"r\":12,\"t\":72},\"paper_bgcolor\":\"white\",\"plot_bgcolor\":\"white\",\"title\":{\"font\":{\"size\":16},\"pad\":{\"t\":14},\"x\":0.01,\"xanchor\":\"left\",\"y\":1,\"yanchor\":\"top\"},\"xaxis\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":false},\"yaxis\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":false}}},\"title\":{\"text\":\"Pareto front of each round\"},\"yaxis\":{\"title\":{\"text\":\"accuracy\"},\"tickformat\":\".1~%\",\"range\":[0.3644,0.5628000000000001]},\"xaxis\":{\"title\":{\"text\":\"multiply-accum"');
INSERT INTO "study_system_attributes" VALUES(5,1,'dashboard:plot_data:fronts:1','"ulates (MACs)\"},\"tickformat\":\"~s\"}}}"');
INSERT INTO "study_system_attributes" VALUES(6,1,'dashboard:plot_data:hypervolume:0','"{\"data\":[{\"hovertemplate\":\"%{y:.4f} after %{x:.4~s}\\u003cextra\\u003e%{fullData.name}\\u003c\\u002fextra\\u003e\",\"line\":{\"color\":\"rgb(23, 7, 139)\",\"shape\":\"hv\",\"width\":2.5},\"mode\":\"lines\",\"name\":\"round 1\",\"x\":{\"dtype\":\"i1\",\"bdata\":\"AQIDBAUHCAo=\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"K4cW2c730z83+MJkqmDUPw6+MJkqGNU\\u002fukkMAiuH1j9O845TdCTXP7Kd76fGS9c\\u002ffPKwUGua1z+\\u002fDpwzorTXPw==\"},\"type\":\"scatter\"},{\"hoverinfo\":\"skip\",\"marker\":{\"color\":\"rgb(23, 7, 139)\",\"size\":8,\"symbol\":\"circle\"},\"mode\":\"markers\",\"showlegend\":false,\"x\":{\"dtype\":\"i1\",\"bdata\":\"Cg==\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"vw6cM6K01z8=\"},\"type\":\"scatter\"}],\"layout\":{\"template\":{\"layout\":{\"font\":{\"color\":\"#22262e\",\"family\":\"system-ui, -apple-system, ''Segoe UI'', ''Liberation Sans'', sans-serif\",\"size\":13},\"hoverlabel\":{\"align\":\"left\",\"bgcolor\":\"white\",\"font\":{\"color\":\"#22262e\",\"size\":12}},\"legend\":{\"font\":{\"size\":12},\"orientation\":\"h\",\"x\":0,\"y\":1.01,\"yanchor\":\"bottom\"},\"margin\":{\"b\":8,\"l\":8,\"r\":12,\"t\":72},\"paper_bgcolor\":\"white\",\"plot_bgcolor\":\"white\",\"title\":{\"font\":{\"size\":16},\"pad\":{\"t\":14},\"x\":0.01,\"xanchor\":\"left\",\"y\":1,\"yanchor\":\"top\"},\"xaxis\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":false},\"yaxis\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":false}}},\"title\":{\"text\":\"Hypervolume over evaluations\"},\"yaxis\":{\"title\":{\"text\":\"hypervolume (share of the box)\"},\"range\":[0.31423999999999996,0.37456]},\"xaxis\":{\"title\":{\"text\":\"new evaluations\"},\"rangemode\":\"tozero\"}}}"');
INSERT INTO "study_system_attributes" VALUES(7,1,'dashboard:plot_data:operations:0','"{\"data\":[{\"colorbar\":{\"outlinewidth\":0,\"thickness\":10,\"tickformat\":\".0%\",\"tickvals\":[0,0.5,1],\"title\":{\"side\":\"right\",\"text\":\"share of the front\"}},\"colorscale\":[[0.0,\"#dfe6f1\"],[0.5,\"#6f8fc0\"],[1.0,\"#12306b\"]],\"hoverongaps\":false,\"hovertemplate\":\"%{y} at %{x}\\u003cbr\\u003ecarried by %{z:.0%} of the front\\u003cextra\\u003e\\u003c\\u002fextra\\u003e\",\"x\":[\"stage1.layer1\",\"stage1.layer2\",\"stage1.layer3\"],\"xgap\":1,\"y\":[\"''id''\",\"a\",\"b\"],\"ygap\":1,\"z\":{\"dtype\":\"f8\",\"bdata\":\"kiRJkiRJ0j+SJEmSJEnSP5IkSZIkSdI\\u002fkiRJkiRJ0j+SJEmSJEniP5IkSZIkSdI\\u002f27Zt27Zt2z+SJEmSJEnCP9u2bdu2bds\\u002f\",\"shape\":\"3, 3\"},\"zmax\":1,\"zmin\":0,\"type\":\"heatmap\"},{\"hovertemplate\":\"%{hovertext}\\u003cextra\\u003e\\u003c\\u002fextra\\u003e\",\"hovertext\":[\"&#x27;id&#x27; at stage1.layer2: dropped\\u003cbr\\u003erating 0.2\\u003cbr\\u003erate by share among nondomination ranks &lt; 3; \\u003cbr\\u003ekeep ratings &gt; 0.25; \\u003cbr\\u003erefill nothing\",\"a at stage1.layer3: dropped\\u003cbr\\u003erating 0.2\\u003cbr\\u003erate by share among nondomination ranks &lt; 3; \\u003cbr\\u003ekeep ratings &gt; 0.25; \\u003cbr\\u003erefill nothing\"],\"marker\":{\"line\":{\"color\":\"#c8102e\",\"width\":2.5},\"size\":9,\"symbol\":\"x-thin\"},\"mode\":\"markers\",\"name\":\"dropped\",\"showlegend\":true,\"x\":[\"stage1.layer2\",\"stage1.layer3\"],\"y\":[\"''id''\",\"a\"],\"type\":\"scatter\"},{\"hovertemplate\":\"%{hovertext}\\u003cextra\\u003e\\u003c\\u002fextra\\u003e\",\"hovertext\":[],\"marker\":{\"line\":{\"color\":\"#00795c\",\"width\":2.5},\"size\":9,\"symbol\":\"cross-thin\"},\"mode\":\"markers\",\"name\":\"added\",\"showlegend\":true,\"x\":[],\"y\":[],\"type\":\"scatter\"}],\"layout\":{\"template\":{\"layout\":{\"font\":{\"color\":\"#22262e\",\"family\":\"system-ui, -apple-system, ''Segoe UI'', ''Liberation Sans'', sans-serif\",\"size\":13},\"hoverlabel\":{\"align\":\"left\",\"bgcolor\":\"white\",\"font\":{\"color\":\"#22262e\",\"size\":12}},\"legend\":{\"font\":{\"size\":12},\"orientation\":\"h\",\"x\":0,\"y\":1.01,\"yanchor\":\"bottom\"},\"margin\":{\"b\":8,\"l\":8,\"r\":12,\"t\":72},\"paper_bgcolor\":\"white\",\"plot_bgcolor\":\"white\",\"title\":{\"font\":{\"size\":16},\"pad\":{\"t\":14},\"x\":0.01,\"xanchor\":\"left\",\"y\":1,\"yanchor\":\"top\"},\"xaxi"');
INSERT INTO "study_system_attributes" VALUES(8,1,'dashboard:plot_data:operations:1','"s\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":false},\"yaxis\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":false}}},\"title\":{\"text\":\"Operations after round 1\"},\"xaxis\":{\"title\":{\"text\":\"layer\"},\"type\":\"category\",\"range\":[-0.5,2.5],\"showgrid\":false,\"tickvals\":[\"stage1.layer1\",\"stage1.layer2\",\"stage1.layer3\"],\"ticktext\":[\"1.1\",\"1.2\",\"1.3\"]},\"yaxis\":{\"type\":\"category\",\"range\":[2.5,-0.5],\"showgrid\":false,\"tickvals\":[\"''id''\",\"a\",\"b\"],\"ticktext\":[\"''id''\",\"a\",\"b\"]}}}"');
INSERT INTO "study_system_attributes" VALUES(9,2,'study:metric_names','["accuracy", "macs"]');
INSERT INTO "study_system_attributes" VALUES(10,2,'dashboard:note_ver','1');
INSERT INTO "study_system_attributes" VALUES(11,2,'dashboard:note_str:0','"## Round 2\n\n- **Space:** 12 architectures, 3 layers\n- **Search:** 9 proposals, 6 measured for this round\n- **Front:** 7 networks, from 35.00% at 25 MACs to 56.00% at 115 MACs\n- **Hypervolume:** 0.3696 (round 1: 0.3704, -0.0008). One judge (table:table) scored everything, so hypervolumes are comparable throughout.\n- **Next space:** 12 architectures; 7 operations kept, 0 dropped, 0 added (counted per layer)\n- **Rule:** rate by share among nondomination ranks < 3; keep ratings > 0.25; refill nothing"');
INSERT INTO "study_system_attributes" VALUES(12,2,'dashboard:plot_data:fronts:0','"{\"data\":[{\"legendgroup\":\"round 1\",\"marker\":{\"color\":\"rgb(244, 139, 71)\",\"opacity\":0.35,\"size\":5},\"mode\":\"markers\",\"name\":\"round 1\",\"showlegend\":false,\"x\":{\"dtype\":\"f8\",\"bdata\":\"AAAAAACARkAAAAAAAEBaQAAAAAAAgEtA\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"mpmZmZmZ2T9SuB6F61HgPz0K16NwPdo\\u002f\"},\"type\":\"scatter\"},{\"legendgroup\":\"round 2\",\"marker\":{\"color\":\"rgb(23, 7, 139)\",\"opacity\":0.35,\"size\":5},\"mode\":\"markers\",\"name\":\"round 2\",\"showlegend\":false,\"x\":{\"dtype\":\"f8\",\"bdata\":\"AAAAAACARkAAAAAAAEBfQA==\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"PQrXo3A92j\\u002fsUbgehevhPw==\"},\"type\":\"scatter\"},{\"legendgroup\":\"round 1\",\"line\":{\"color\":\"rgb(244, 139, 71)\",\"shape\":\"hv\",\"width\":2},\"marker\":{\"line\":{\"color\":\"white\",\"width\":1},\"size\":8,\"symbol\":\"circle\"},\"mode\":\"lines+markers\",\"name\":\"round 1\",\"x\":{\"dtype\":\"f8\",\"bdata\":\"AAAAAAAAOUAAAAAAAIBBQAAAAAAAgEtAAAAAAADAUkAAAAAAAEBVQAAAAAAAwFdAAAAAAABAWkA=\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"9ihcj8L12D89CtejcD3aP+F6FK5H4do\\u002fuB6F61G43j9cj8L1KFzfP1K4HoXrUeA\\u002fmpmZmZmZ4T8=\"},\"type\":\"scatter\"},{\"hovertemplate\":\"%{hovertext}\\u003cbr\\u003e%{y:.2%} at %{x:.3s} MACs\\u003cextra\\u003e%{fullData.name}\\u003c\\u002fextra\\u003e\",\"hovertext\":[\"&#x27;id&#x27;|a|&#x27;id&#x27;\",\"a|a|&#x27;id&#x27;\",\"b|b|&#x27;id&#x27;\",\"&#x27;id&#x27;|a|b\",\"a|a|b\",\"&#x27;id&#x27;|b|b\",\"a|b|b\"],\"legendgroup\":\"round 2\",\"line\":{\"color\":\"rgb(23, 7, 139)\",\"shape\":\"hv\",\"width\":2},\"marker\":{\"line\":{\"color\":\"white\",\"width\":1},\"size\":8,\"symbol\":\"square\"},\"mode\":\"lines+markers\",\"name\":\"round 2\",\"x\":{\"dtype\":\"f8\",\"bdata\":\"AAAAAAAAOUAAAAAAAIBBQAAAAAAAQFBAAAAAAABAVUAAAAAAAMBXQAAAAAAAQFpAAAAAAADAXEA=\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"ZmZmZmZm1j89CtejcD3aP3E9CtejcN0\\u002fAAAAAAAA4D9SuB6F61HgP5qZmZmZmeE\\u002f7FG4HoXr4T8=\"},\"type\":\"scatter\"}],\"layout\":{\"template\":{\"layout\":{\"font\":{\"color\":\"#22262e\",\"family\":\"system-ui, -apple-system, ''Segoe UI'', ''Liberation Sans'', sans-serif\",\"size\":13},\"hoverlabel\":{\"align\":\"left\",\"bgcolor\":\"white\",\"font\":{\"color\":\"#22262e\",\"size\":12}},\"legend\":{\"font\":{\"size\":12},\"orientation\":\"h\",\"x\":0,\"y\":1.01,\"yanchor\":\"bottom\"},\"margin\":{\"b\":"');
INSERT INTO "study_system_attributes" VALUES(13,2,'dashboard:plot_data:fronts:1','"8,\"l\":8,\"r\":12,\"t\":72},\"paper_bgcolor\":\"white\",\"plot_bgcolor\":\"white\",\"title\":{\"font\":{\"size\":16},\"pad\":{\"t\":14},\"x\":0.01,\"xanchor\":\"left\",\"y\":1,\"yanchor\":\"top\"},\"xaxis\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":false},\"yaxis\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":false}}},\"title\":{\"text\":\"Pareto front of each round\"},\"yaxis\":{\"title\":{\"text\":\"accuracy\"},\"tickformat\":\".1~%\",\"range\":[0.31639999999999996,0.5768000000000001]},\"xaxis\":{\"title\":{\"text\":\"multiply-accumulates (MACs)\"},\"tickformat\":\"~s\"}}}"');
INSERT INTO "study_system_attributes" VALUES(14,2,'dashboard:plot_data:hypervolume:0','"{\"data\":[{\"hovertemplate\":\"%{y:.4f} after %{x:.4~s}\\u003cextra\\u003e%{fullData.name}\\u003c\\u002fextra\\u003e\",\"line\":{\"color\":\"rgb(244, 139, 71)\",\"shape\":\"hv\",\"width\":2.5},\"mode\":\"lines\",\"name\":\"round 1\",\"x\":{\"dtype\":\"i1\",\"bdata\":\"AQIDBAUHCAo=\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"K4cW2c730z83+MJkqmDUPw6+MJkqGNU\\u002fukkMAiuH1j9O845TdCTXP7Kd76fGS9c\\u002ffPKwUGua1z+\\u002fDpwzorTXPw==\"},\"type\":\"scatter\"},{\"hoverinfo\":\"skip\",\"marker\":{\"color\":\"rgb(244, 139, 71)\",\"size\":8,\"symbol\":\"circle\"},\"mode\":\"markers\",\"showlegend\":false,\"x\":{\"dtype\":\"i1\",\"bdata\":\"Cg==\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"vw6cM6K01z8=\"},\"type\":\"scatter\"},{\"hovertemplate\":\"%{y:.4f} after %{x:.4~s}\\u003cextra\\u003e%{fullData.name}\\u003c\\u002fextra\\u003e\",\"line\":{\"color\":\"rgb(23, 7, 139)\",\"shape\":\"hv\",\"width\":2.5},\"mode\":\"lines\",\"name\":\"round 2\",\"x\":{\"dtype\":\"i1\",\"bdata\":\"CgoKDQ4PEA==\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"ad5xio7k0j9ZhjjWxW3UP2X35GGh1tQ\\u002fh4Va07zj1D+2hHzQs1nVP07zjlN0JNc\\u002fnoAmwoan1z8=\"},\"type\":\"scatter\"},{\"hoverinfo\":\"skip\",\"marker\":{\"color\":\"rgb(23, 7, 139)\",\"size\":8,\"symbol\":\"square\"},\"mode\":\"markers\",\"showlegend\":false,\"x\":{\"dtype\":\"i1\",\"bdata\":\"EA==\"},\"y\":{\"dtype\":\"f8\",\"bdata\":\"noAmwoan1z8=\"},\"type\":\"scatter\"}],\"layout\":{\"template\":{\"layout\":{\"font\":{\"color\":\"#22262e\",\"family\":\"system-ui, -apple-system, ''Segoe UI'', ''Liberation Sans'', sans-serif\",\"size\":13},\"hoverlabel\":{\"align\":\"left\",\"bgcolor\":\"white\",\"font\":{\"color\":\"#22262e\",\"size\":12}},\"legend\":{\"font\":{\"size\":12},\"orientation\":\"h\",\"x\":0,\"y\":1.01,\"yanchor\":\"bottom\"},\"margin\":{\"b\":8,\"l\":8,\"r\":12,\"t\":72},\"paper_bgcolor\":\"white\",\"plot_bgcolor\":\"white\",\"title\":{\"font\":{\"size\":16},\"pad\":{\"t\":14},\"x\":0.01,\"xanchor\":\"left\",\"y\":1,\"yanchor\":\"top\"},\"xaxis\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":false},\"yaxis\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":"');
INSERT INTO "study_system_attributes" VALUES(15,2,'dashboard:plot_data:hypervolume:1','"false}}},\"title\":{\"text\":\"Hypervolume over evaluations\"},\"yaxis\":{\"title\":{\"text\":\"hypervolume (share of the box)\"},\"range\":[0.31423999999999996,0.37456]},\"xaxis\":{\"title\":{\"text\":\"new evaluations\"},\"rangemode\":\"tozero\"}}}"');
INSERT INTO "study_system_attributes" VALUES(16,2,'dashboard:plot_data:operations:0','"{\"data\":[{\"colorbar\":{\"outlinewidth\":0,\"thickness\":10,\"tickformat\":\".0%\",\"tickvals\":[0,0.5,1],\"title\":{\"side\":\"right\",\"text\":\"share of the front\"}},\"colorscale\":[[0.0,\"#dfe6f1\"],[0.5,\"#6f8fc0\"],[1.0,\"#12306b\"]],\"hoverongaps\":false,\"hovertemplate\":\"%{y} at %{x}\\u003cbr\\u003ecarried by %{z:.0%} of the front\\u003cextra\\u003e\\u003c\\u002fextra\\u003e\",\"x\":[\"stage1.layer1\",\"stage1.layer2\",\"stage1.layer3\"],\"xgap\":1,\"y\":[\"''id''\",\"a\",\"b\"],\"ygap\":1,\"z\":{\"dtype\":\"f8\",\"bdata\":\"27Zt27Zt2z8AAAAAAAD4f9u2bdu2bds\\u002f27Zt27Zt2z+SJEmSJEniPwAAAAAAAPh\\u002fkiRJkiRJwj\\u002fbtm3btm3bP5IkSZIkSeI\\u002f\",\"shape\":\"3, 3\"},\"zmax\":1,\"zmin\":0,\"type\":\"heatmap\"},{\"hovertemplate\":\"%{hovertext}\\u003cextra\\u003e\\u003c\\u002fextra\\u003e\",\"hovertext\":[],\"marker\":{\"line\":{\"color\":\"#c8102e\",\"width\":2.5},\"size\":9,\"symbol\":\"x-thin\"},\"mode\":\"markers\",\"name\":\"dropped\",\"showlegend\":true,\"x\":[],\"y\":[],\"type\":\"scatter\"},{\"hovertemplate\":\"%{hovertext}\\u003cextra\\u003e\\u003c\\u002fextra\\u003e\",\"hovertext\":[],\"marker\":{\"line\":{\"color\":\"#00795c\",\"width\":2.5},\"size\":9,\"symbol\":\"cross-thin\"},\"mode\":\"markers\",\"name\":\"added\",\"showlegend\":true,\"x\":[],\"y\":[],\"type\":\"scatter\"}],\"layout\":{\"template\":{\"layout\":{\"font\":{\"color\":\"#22262e\",\"family\":\"system-ui, -apple-system, ''Segoe UI'', ''Liberation Sans'', sans-serif\",\"size\":13},\"hoverlabel\":{\"align\":\"left\",\"bgcolor\":\"white\",\"font\":{\"color\":\"#22262e\",\"size\":12}},\"legend\":{\"font\":{\"size\":12},\"orientation\":\"h\",\"x\":0,\"y\":1.01,\"yanchor\":\"bottom\"},\"margin\":{\"b\":8,\"l\":8,\"r\":12,\"t\":72},\"paper_bgcolor\":\"white\",\"plot_bgcolor\":\"white\",\"title\":{\"font\":{\"size\":16},\"pad\":{\"t\":14},\"x\":0.01,\"xanchor\":\"left\",\"y\":1,\"yanchor\":\"top\"},\"xaxis\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":false},\"yaxis\":{\"automargin\":true,\"gridcolor\":\"#e4e7ec\",\"linecolor\":\"#8a919e\",\"tickcolor\":\"#8a919e\",\"ticklen\":4,\"ticks\":\"outside\",\"title\":{\"font\":{\"size\":13},\"standoff\":8},\"zeroline\":false}}},\"title\":{\"text\":\"Operations after round 2\"},\"xaxi"');
INSERT INTO "study_system_attributes" VALUES(17,2,'dashboard:plot_data:operations:1','"s\":{\"title\":{\"text\":\"layer\"},\"type\":\"category\",\"range\":[-0.5,2.5],\"showgrid\":false,\"tickvals\":[\"stage1.layer1\",\"stage1.layer2\",\"stage1.layer3\"],\"ticktext\":[\"1.1\",\"1.2\",\"1.3\"]},\"yaxis\":{\"type\":\"category\",\"range\":[2.5,-0.5],\"showgrid\":false,\"tickvals\":[\"''id''\",\"a\",\"b\"],\"ticktext\":[\"''id''\",\"a\",\"b\"]}}}"');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'run','"old"');
INSERT INTO "study_user_attributes" VALUES(2,1,'round','1');
INSERT INTO "study_user_attributes" VALUES(3,1,'method','"pad_nas"');
INSERT INTO "study_user_attributes" VALUES(4,2,'run','"old"');
INSERT INTO "study_user_attributes" VALUES(5,2,'round','2');
INSERT INTO "study_user_attributes" VALUES(6,2,'method','"pad_nas"');
CREATE TABLE trainings (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	name TEXT NOT NULL, 
	arch TEXT NOT NULL, 
	space_json TEXT NOT NULL, 
	seed BIGINT NOT NULL, 
	accuracy FLOAT NOT NULL, 
	nll FLOAT, 
	images INTEGER NOT NULL, 
	macs FLOAT NOT NULL, 
	params FLOAT NOT NULL, 
	training_macs FLOAT NOT NULL, 
	seconds FLOAT NOT NULL, 
	settings_json TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (run_id, sha256), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'stage1.layer1',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(2,1,'stage1.layer2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(3,1,'stage1.layer3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(4,2,'stage1.layer1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(5,2,'stage1.layer2',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(6,2,'stage1.layer3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(7,3,'stage1.layer1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(8,3,'stage1.layer2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(9,3,'stage1.layer3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(10,4,'stage1.layer1',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(11,4,'stage1.layer2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(12,4,'stage1.layer3',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(13,5,'stage1.layer1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(14,5,'stage1.layer2',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(15,5,'stage1.layer3',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(16,6,'stage1.layer1',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(17,6,'stage1.layer2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(18,6,'stage1.layer3',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(19,7,'stage1.layer1',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(20,7,'stage1.layer2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(21,7,'stage1.layer3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(22,8,'stage1.layer1',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(23,8,'stage1.layer2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(24,8,'stage1.layer3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(25,9,'stage1.layer1',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(26,9,'stage1.layer2',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(27,9,'stage1.layer3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(28,10,'stage1.layer1',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(29,10,'stage1.layer2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(30,10,'stage1.layer3',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(31,11,'stage1.layer1',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(32,11,'stage1.layer2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(33,11,'stage1.layer3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "b"]}}');
INSERT INTO "trial_params" VALUES(34,12,'stage1.layer1',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(35,12,'stage1.layer2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(36,12,'stage1.layer3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "b"]}}');
INSERT INTO "trial_params" VALUES(37,13,'stage1.layer1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(38,13,'stage1.layer2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(39,13,'stage1.layer3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "b"]}}');
INSERT INTO "trial_params" VALUES(40,14,'stage1.layer1',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(41,14,'stage1.layer2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(42,14,'stage1.layer3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "b"]}}');
INSERT INTO "trial_params" VALUES(43,15,'stage1.layer1',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(44,15,'stage1.layer2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(45,15,'stage1.layer3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "b"]}}');
INSERT INTO "trial_params" VALUES(46,16,'stage1.layer1',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(47,16,'stage1.layer2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(48,16,'stage1.layer3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "b"]}}');
INSERT INTO "trial_params" VALUES(49,17,'stage1.layer1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(50,17,'stage1.layer2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(51,17,'stage1.layer3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "b"]}}');
INSERT INTO "trial_params" VALUES(52,18,'stage1.layer1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(53,18,'stage1.layer2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(54,18,'stage1.layer3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "b"]}}');
INSERT INTO "trial_params" VALUES(55,19,'stage1.layer1',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "a", "b"]}}');
INSERT INTO "trial_params" VALUES(56,19,'stage1.layer2',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(57,19,'stage1.layer3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["''id''", "b"]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'NSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(2,2,'NSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(3,3,'NSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(4,4,'NSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(5,5,'NSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(6,6,'NSGAIISampler:generation','1');
INSERT INTO "trial_system_attributes" VALUES(7,7,'NSGAIISampler:generation','1');
INSERT INTO "trial_system_attributes" VALUES(8,8,'NSGAIISampler:generation','1');
INSERT INTO "trial_system_attributes" VALUES(9,9,'NSGAIISampler:generation','1');
INSERT INTO "trial_system_attributes" VALUES(10,10,'NSGAIISampler:generation','1');
INSERT INTO "trial_system_attributes" VALUES(11,11,'NSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(12,12,'NSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(13,13,'NSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(14,14,'NSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(15,15,'NSGAIISampler:generation','0');
INSERT INTO "trial_system_attributes" VALUES(16,16,'NSGAIISampler:generation','1');
INSERT INTO "trial_system_attributes" VALUES(17,17,'NSGAIISampler:generation','1');
INSERT INTO "trial_system_attributes" VALUES(18,18,'NSGAIISampler:generation','1');
INSERT INTO "trial_system_attributes" VALUES(19,19,'NSGAIISampler:generation','1');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'proposal','0');
INSERT INTO "trial_user_attributes" VALUES(2,1,'arch','"b|''id''|''id''"');
INSERT INTO "trial_user_attributes" VALUES(3,1,'macs','25.0');
INSERT INTO "trial_user_attributes" VALUES(4,1,'params','9.0');
INSERT INTO "trial_user_attributes" VALUES(5,1,'origin','"stratified"');
INSERT INTO "trial_user_attributes" VALUES(6,2,'proposal','1');
INSERT INTO "trial_user_attributes" VALUES(7,2,'arch','"''id''|b|''id''"');
INSERT INTO "trial_user_attributes" VALUES(8,2,'macs','45.0');
INSERT INTO "trial_user_attributes" VALUES(9,2,'params','9.0');
INSERT INTO "trial_user_attributes" VALUES(10,2,'origin','"stratified"');
INSERT INTO "trial_user_attributes" VALUES(11,3,'proposal','2');
INSERT INTO "trial_user_attributes" VALUES(12,3,'arch','"''id''|a|a"');
INSERT INTO "trial_user_attributes" VALUES(13,3,'macs','55.0');
INSERT INTO "trial_user_attributes" VALUES(14,3,'params','8.0');
INSERT INTO "trial_user_attributes" VALUES(15,3,'origin','"stratified"');
INSERT INTO "trial_user_attributes" VALUES(16,4,'proposal','3');
INSERT INTO "trial_user_attributes" VALUES(17,4,'arch','"b|''id''|b"');
INSERT INTO "trial_user_attributes" VALUES(18,4,'macs','85.0');
INSERT INTO "trial_user_attributes" VALUES(19,4,'params','16.0');
INSERT INTO "trial_user_attributes" VALUES(20,4,'origin','"stratified"');
INSERT INTO "trial_user_attributes" VALUES(21,5,'proposal','4');
INSERT INTO "trial_user_attributes" VALUES(22,5,'arch','"''id''|b|b"');
INSERT INTO "trial_user_attributes" VALUES(23,5,'macs','105.0');
INSERT INTO "trial_user_attributes" VALUES(24,5,'params','16.0');
INSERT INTO "trial_user_attributes" VALUES(25,5,'origin','"stratified"');
INSERT INTO "trial_user_attributes" VALUES(26,6,'proposal','5');
INSERT INTO "trial_user_attributes" VALUES(27,6,'arch','"b|a|b"');
INSERT INTO "trial_user_attributes" VALUES(28,6,'macs','105.0');
INSERT INTO "trial_user_attributes" VALUES(29,6,'params','19.0');
INSERT INTO "trial_user_attributes" VALUES(30,6,'origin','"child"');
INSERT INTO "trial_user_attributes" VALUES(31,7,'proposal','6');
INSERT INTO "trial_user_attributes" VALUES(32,7,'arch','"a|a|''id''"');
INSERT INTO "trial_user_attributes" VALUES(33,7,'macs','35.0');
INSERT INTO "trial_user_attributes" VALUES(34,7,'params','8.0');
INSERT INTO "trial_user_attributes" VALUES(35,7,'origin','"child"');
INSERT INTO "trial_user_attributes" VALUES(36,8,'proposal','7');
INSERT INTO "trial_user_attributes" VALUES(37,8,'arch','"b|a|a"');
INSERT INTO "trial_user_attributes" VALUES(38,8,'macs','75.0');
INSERT INTO "trial_user_attributes" VALUES(39,8,'params','15.0');
INSERT INTO "trial_user_attributes" VALUES(40,8,'origin','"child"');
INSERT INTO "trial_user_attributes" VALUES(41,9,'proposal','8');
INSERT INTO "trial_user_attributes" VALUES(42,9,'arch','"a|b|''id''"');
INSERT INTO "trial_user_attributes" VALUES(43,9,'macs','55.0');
INSERT INTO "trial_user_attributes" VALUES(44,9,'params','12.0');
INSERT INTO "trial_user_attributes" VALUES(45,9,'origin','"child"');
INSERT INTO "trial_user_attributes" VALUES(46,10,'proposal','9');
INSERT INTO "trial_user_attributes" VALUES(47,10,'arch','"a|a|b"');
INSERT INTO "trial_user_attributes" VALUES(48,10,'macs','95.0');
INSERT INTO "trial_user_attributes" VALUES(49,10,'params','15.0');
INSERT INTO "trial_user_attributes" VALUES(50,10,'origin','"child"');
INSERT INTO "trial_user_attributes" VALUES(51,11,'proposal','0');
INSERT INTO "trial_user_attributes" VALUES(52,11,'arch','"a|a|''id''"');
INSERT INTO "trial_user_attributes" VALUES(53,11,'macs','35.0');
INSERT INTO "trial_user_attributes" VALUES(54,11,'params','8.0');
INSERT INTO "trial_user_attributes" VALUES(55,11,'origin','"survivor"');
INSERT INTO "trial_user_attributes" VALUES(56,12,'proposal','1');
INSERT INTO "trial_user_attributes" VALUES(57,12,'arch','"a|a|b"');
INSERT INTO "trial_user_attributes" VALUES(58,12,'macs','95.0');
INSERT INTO "trial_user_attributes" VALUES(59,12,'params','15.0');
INSERT INTO "trial_user_attributes" VALUES(60,12,'origin','"survivor"');
INSERT INTO "trial_user_attributes" VALUES(61,13,'proposal','2');
INSERT INTO "trial_user_attributes" VALUES(62,13,'arch','"''id''|b|b"');
INSERT INTO "trial_user_attributes" VALUES(63,13,'macs','105.0');
INSERT INTO "trial_user_attributes" VALUES(64,13,'params','16.0');
INSERT INTO "trial_user_attributes" VALUES(65,13,'origin','"survivor"');
INSERT INTO "trial_user_attributes" VALUES(66,14,'proposal','3');
INSERT INTO "trial_user_attributes" VALUES(67,14,'arch','"b|a|''id''"');
INSERT INTO "trial_user_attributes" VALUES(68,14,'macs','45.0');
INSERT INTO "trial_user_attributes" VALUES(69,14,'params','12.0');
INSERT INTO "trial_user_attributes" VALUES(70,14,'origin','"stratified"');
INSERT INTO "trial_user_attributes" VALUES(71,15,'proposal','4');
INSERT INTO "trial_user_attributes" VALUES(72,15,'arch','"b|b|b"');
INSERT INTO "trial_user_attributes" VALUES(73,15,'macs','125.0');
INSERT INTO "trial_user_attributes" VALUES(74,15,'params','23.0');
INSERT INTO "trial_user_attributes" VALUES(75,15,'origin','"stratified"');
INSERT INTO "trial_user_attributes" VALUES(76,16,'proposal','5');
INSERT INTO "trial_user_attributes" VALUES(77,16,'arch','"a|b|b"');
INSERT INTO "trial_user_attributes" VALUES(78,16,'macs','115.0');
INSERT INTO "trial_user_attributes" VALUES(79,16,'params','19.0');
INSERT INTO "trial_user_attributes" VALUES(80,16,'origin','"child"');
INSERT INTO "trial_user_attributes" VALUES(81,17,'proposal','6');
INSERT INTO "trial_user_attributes" VALUES(82,17,'arch','"''id''|a|b"');
INSERT INTO "trial_user_attributes" VALUES(83,17,'macs','85.0');
INSERT INTO "trial_user_attributes" VALUES(84,17,'params','12.0');
INSERT INTO "trial_user_attributes" VALUES(85,17,'origin','"child"');
INSERT INTO "trial_user_attributes" VALUES(86,18,'proposal','7');
INSERT INTO "trial_user_attributes" VALUES(87,18,'arch','"''id''|a|''id''"');
INSERT INTO "trial_user_attributes" VALUES(88,18,'macs','25.0');
INSERT INTO "trial_user_attributes" VALUES(89,18,'params','5.0');
INSERT INTO "trial_user_attributes" VALUES(90,18,'origin','"child"');
INSERT INTO "trial_user_attributes" VALUES(91,19,'proposal','8');
INSERT INTO "trial_user_attributes" VALUES(92,19,'arch','"b|b|''id''"');
INSERT INTO "trial_user_attributes" VALUES(93,19,'macs','65.0');
INSERT INTO "trial_user_attributes" VALUES(94,19,'params','16.0');
INSERT INTO "trial_user_attributes" VALUES(95,19,'origin','"child"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.39,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,1,25.0,'FINITE');
INSERT INTO "trial_values" VALUES(3,2,0,0.4,'FINITE');
INSERT INTO "trial_values" VALUES(4,2,1,45.0,'FINITE');
INSERT INTO "trial_values" VALUES(5,3,0,0.42,'FINITE');
INSERT INTO "trial_values" VALUES(6,3,1,55.0,'FINITE');
INSERT INTO "trial_values" VALUES(7,4,0,0.49,'FINITE');
INSERT INTO "trial_values" VALUES(8,4,1,85.0,'FINITE');
INSERT INTO "trial_values" VALUES(9,5,0,0.55,'FINITE');
INSERT INTO "trial_values" VALUES(10,5,1,105.0,'FINITE');
INSERT INTO "trial_values" VALUES(11,6,0,0.51,'FINITE');
INSERT INTO "trial_values" VALUES(12,6,1,105.0,'FINITE');
INSERT INTO "trial_values" VALUES(13,7,0,0.41,'FINITE');
INSERT INTO "trial_values" VALUES(14,7,1,35.0,'FINITE');
INSERT INTO "trial_values" VALUES(15,8,0,0.48,'FINITE');
INSERT INTO "trial_values" VALUES(16,8,1,75.0,'FINITE');
INSERT INTO "trial_values" VALUES(17,9,0,0.41,'FINITE');
INSERT INTO "trial_values" VALUES(18,9,1,55.0,'FINITE');
INSERT INTO "trial_values" VALUES(19,10,0,0.51,'FINITE');
INSERT INTO "trial_values" VALUES(20,10,1,95.0,'FINITE');
INSERT INTO "trial_values" VALUES(21,11,0,0.41,'FINITE');
INSERT INTO "trial_values" VALUES(22,11,1,35.0,'FINITE');
INSERT INTO "trial_values" VALUES(23,12,0,0.51,'FINITE');
INSERT INTO "trial_values" VALUES(24,12,1,95.0,'FINITE');
INSERT INTO "trial_values" VALUES(25,13,0,0.55,'FINITE');
INSERT INTO "trial_values" VALUES(26,13,1,105.0,'FINITE');
INSERT INTO "trial_values" VALUES(27,14,0,0.41,'FINITE');
INSERT INTO "trial_values" VALUES(28,14,1,45.0,'FINITE');
INSERT INTO "trial_values" VALUES(29,15,0,0.56,'FINITE');
INSERT INTO "trial_values" VALUES(30,15,1,125.0,'FINITE');
INSERT INTO "trial_values" VALUES(31,16,0,0.56,'FINITE');
INSERT INTO "trial_values" VALUES(32,16,1,115.0,'FINITE');
INSERT INTO "trial_values" VALUES(33,17,0,0.5,'FINITE');
INSERT INTO "trial_values" VALUES(34,17,1,85.0,'FINITE');
INSERT INTO "trial_values" VALUES(35,18,0,0.35,'FINITE');
INSERT INTO "trial_values" VALUES(36,18,1,25.0,'FINITE');
INSERT INTO "trial_values" VALUES(37,19,0,0.46,'FINITE');
INSERT INTO "trial_values" VALUES(38,19,1,65.0,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-29 15:25:20.712799','2026-11-29 15:25:20.712799');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-29 15:25:20.712841','2026-11-29 15:25:20.712841');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-29 15:25:20.712855','2026-11-29 15:25:20.712855');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-29 15:25:20.712864','2026-11-29 15:25:20.712864');
INSERT INTO "trials" VALUES(5,4,1,'COMPLETE','2026-11-29 15:25:20.712874','2026-11-29 15:25:20.712874');
INSERT INTO "trials" VALUES(6,5,1,'COMPLETE','2026-11-29 15:25:20.732517','2026-11-29 15:25:20.732517');
INSERT INTO "trials" VALUES(7,6,1,'COMPLETE','2026-11-29 15:25:20.732538','2026-11-29 15:25:20.732538');
INSERT INTO "trials" VALUES(8,7,1,'COMPLETE','2026-11-29 15:25:20.732547','2026-11-29 15:25:20.732547');
INSERT INTO "trials" VALUES(9,8,1,'COMPLETE','2026-11-29 15:25:20.732554','2026-11-29 15:25:20.732554');
INSERT INTO "trials" VALUES(10,9,1,'COMPLETE','2026-11-29 15:25:20.732560','2026-11-29 15:25:20.732560');
INSERT INTO "trials" VALUES(11,0,2,'COMPLETE','2026-11-29 15:25:22.955177','2026-11-29 15:25:22.955177');
INSERT INTO "trials" VALUES(12,1,2,'COMPLETE','2026-11-29 15:25:22.955202','2026-11-29 15:25:22.955202');
INSERT INTO "trials" VALUES(13,2,2,'COMPLETE','2026-11-29 15:25:22.955210','2026-11-29 15:25:22.955210');
INSERT INTO "trials" VALUES(14,3,2,'COMPLETE','2026-11-29 15:25:22.955219','2026-11-29 15:25:22.955219');
INSERT INTO "trials" VALUES(15,4,2,'COMPLETE','2026-11-29 15:25:22.955227','2026-11-29 15:25:22.955227');
INSERT INTO "trials" VALUES(16,5,2,'COMPLETE','2026-11-29 15:25:22.981948','2026-11-29 15:25:22.981948');
INSERT INTO "trials" VALUES(17,6,2,'COMPLETE','2026-11-29 15:25:22.981970','2026-11-29 15:25:22.981970');
INSERT INTO "trials" VALUES(18,7,2,'COMPLETE','2026-11-29 15:25:22.981978','2026-11-29 15:25:22.981978');
INSERT INTO "trials" VALUES(19,8,2,'COMPLETE','2026-11-29 15:25:22.981994','2026-11-29 15:25:22.981994');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE INDEX ix_evaluations_run_judge ON evaluations (run_id, judge);
CREATE INDEX ix_deliveries_run_id ON deliveries (run_id);
CREATE INDEX ix_choices_round_id ON choices (round_id);
CREATE INDEX ix_proposals_evaluation_id ON proposals (evaluation_id);
CREATE INDEX ix_fitness_cell_id ON fitness (cell_id);
CREATE VIEW failures AS SELECT runs.name AS run, rounds.number AS round, proposals.number AS number, proposals.arch AS arch, evaluations.judge AS judge, evaluations.reason AS reason FROM proposals JOIN rounds ON rounds.id = proposals.round_id JOIN runs ON runs.id = rounds.run_id JOIN evaluations ON evaluations.id = proposals.evaluation_id WHERE evaluations.state = 'failed';
CREATE VIEW round_stats AS SELECT runs.name AS run, rounds.number AS round, rounds.state AS state, rounds.judge AS judge, rounds.hypervolume AS hypervolume, count(proposals.id) AS proposals, count(DISTINCT proposals.evaluation_id) AS distinct_networks, sum(CASE WHEN proposals.is_new THEN 1 ELSE 0 END) AS measured, sum(CASE WHEN proposals.is_new AND evaluations.state = 'pruned' THEN 1 ELSE 0 END) AS pruned, sum(CASE WHEN proposals.is_new AND evaluations.state = 'failed' THEN 1 ELSE 0 END) AS failed, rounds.front_size AS front, rounds.tau AS tau, rounds.tau_macs AS tau_macs, rounds.fitting_seconds AS fitting_seconds, rounds.searching_seconds AS searching_seconds, rounds.truth_seconds AS truth_seconds, rounds.training_macs AS training_macs, rounds.scoring_macs AS scoring_macs, rounds.truth_macs AS truth_macs FROM rounds JOIN runs ON runs.id = rounds.run_id LEFT JOIN proposals ON proposals.round_id = rounds.id LEFT JOIN evaluations ON evaluations.id = proposals.evaluation_id GROUP BY runs.id, rounds.id;
CREATE VIEW results AS SELECT runs.name AS run, rounds.number AS round, proposals.number AS number, proposals.arch AS arch, evaluations.judge AS judge, evaluations.accuracy AS accuracy, evaluations.macs AS macs, evaluations.params AS params, evaluations.latency_ms AS latency_ms, evaluations.seconds AS seconds, evaluations.flash_kb AS flash_kb, evaluations.memory_kb AS memory_kb FROM proposals JOIN rounds ON rounds.id = proposals.round_id JOIN runs ON runs.id = rounds.run_id JOIN evaluations ON evaluations.id = proposals.evaluation_id WHERE evaluations.state = 'complete';
COMMIT;
